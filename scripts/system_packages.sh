#!/usr/bin/env bash
# The system packages that tests use, through apt when root or sudo is there.
set -euo pipefail
# command or file that must exist : Debian package
needs="
/usr/bin/chromium:chromium
/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc:fonts-noto-cjk
/usr/bin/promtool:prometheus
/usr/sbin/dovecot:dovecot-imapd
"
missing=""
for need in $needs; do
  [ -e "${need%%:*}" ] || missing="$missing ${need##*:}"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "Tests need these packages (Debian names):$missing. Install them and run this again." >&2
  exit 1
fi
if [ "$(id -u)" = 0 ]; then root=""; elif sudo -n true 2>/dev/null; then root="sudo"; else
  echo "Tests need these packages. Run: sudo apt-get install$missing" >&2
  exit 1
fi
echo "Installing system packages:$missing" >&2
$root apt-get update -qq
# shellcheck disable=SC2086
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
  -o Dpkg::Use-Pty=0 $missing >/tmp/ai-engine-apt.log 2>&1 || {
  tail -20 /tmp/ai-engine-apt.log >&2
  exit 1
}
