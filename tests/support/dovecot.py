"""A real IMAP server: Debian's Dovecot with a configuration of its own in a temporary folder.

Its people are `<name>@example.test` with the password `PASSWORD`; their mails are Maildirs. Runs
as root (its processes then drop to `dovenull` and `mail`) or as an ordinary user.
"""

import datetime
import getpass
import ipaddress
import itertools
import os
import pwd
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support.ports import free_port

DOVECOT = "/usr/sbin/dovecot"
DOMAIN = "example.test"
PASSWORD = 'horse"battery-staple'
_numbers = itertools.count()

_CONFIG = """
base_dir = {run}
state_dir = {run}
protocols = imap
listen = 127.0.0.1
log_path = {folder}/dovecot.log
ssl = yes
ssl_cert = <{folder}/cert.pem
ssl_key = <{folder}/key.pem
disable_plaintext_auth = no
auth_mechanisms = plain login
mail_location = maildir:{folder}/mail/%n
mailbox_idle_check_interval = 1s
first_valid_uid = 1
{users}
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={owner} gid={group} home={folder}/mail/%n
}}
auth_failure_delay = 0
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
namespace inbox {{
  inbox = yes
  prefix = {prefix}
  separator = .
}}
{more}
"""


def certificate(folder: Path):
    """A self-signed one for 127.0.0.1 and localhost: `cert.pem` and `key.pem` in the folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "key.pem").write_bytes(secret)


class Dovecot:
    """`with Dovecot() as dovecot`: running until the block ends (SIGTERM)."""

    def __init__(self, *, prefix="", more=""):
        self._prefix = prefix
        self._more = more
        self._folder = tempfile.TemporaryDirectory(prefix="dovecot-")
        self.folder = Path(self._folder.name)
        self.imap, self.imaps = free_port(), free_port()
        self._process = None

    def __enter__(self):
        root = os.geteuid() == 0
        owner = pwd.getpwnam("mail" if root else getpass.getuser())
        self._owner = (owner.pw_uid, owner.pw_gid)
        self.folder.chmod(0o755)
        certificate(self.folder)
        name = owner.pw_name
        names = "" if root else f"default_login_user={name}\ndefault_internal_user={name}\n"
        config = _CONFIG.format(
            run=self.folder / "run",
            password=PASSWORD,
            folder=self.folder,
            users=names,
            owner=owner.pw_uid,
            group=owner.pw_gid,
            imap=self.imap,
            imaps=self.imaps,
            prefix=self._prefix,
            more=self._more,
        )
        (self.folder / "dovecot.conf").write_text(config, encoding="utf-8")
        self.start()
        return self

    def add(self, *people):
        """Mailboxes of their own; returns their addresses."""
        for who in people:
            for part in ("", "cur", "new", "tmp"):
                path = self.folder / "mail" / who / part
                path.mkdir(parents=True, exist_ok=True)
                os.chown(path, *self._owner)
        return [f"{who}@{DOMAIN}" for who in people]

    def start(self):
        """Running, and answering."""
        self._process = subprocess.Popen(
            [DOVECOT, "-F", "-c", str(self.folder / "dovecot.conf")],
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until = time.monotonic() + 10
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.imap), timeout=5) as sock:
                    assert sock.recv(100).startswith(b"* OK")
                    return
            except ConnectionError:
                assert self._process.poll() is None, self.log()
                assert time.monotonic() < until, self.log()
                time.sleep(0.02)

    def stop(self):
        """SIGTERM, to its children too: all its connections end."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(timeout=10)

    def __exit__(self, *_):
        self.stop()
        self._folder.cleanup()

    def log(self):
        path = self.folder / "dovecot.log"
        return path.read_text(encoding="utf-8") if path.exists() else "no log"

    def knows(self, who):
        return (self.folder / "mail" / who).is_dir()

    def deliver(self, who, content):
        """As a delivery agent does: written aside, then moved into `new`."""
        box = self.folder / "mail" / who
        name = f"{next(_numbers)}.{os.getpid()}.test"
        path = box / "tmp" / name
        path.write_bytes(content)
        os.chown(path, *self._owner)
        path.rename(box / "new" / name)

    def mails(self, who):
        """The contents of the INBOX, as (flags, bytes), the oldest first."""
        box = self.folder / "mail" / who
        while True:
            found = [*(box / "new").iterdir(), *(box / "cur").iterdir()]
            found.sort(key=lambda path: int(path.name.partition(".")[0]))
            try:
                return [(path.name.partition(":2,")[2], path.read_bytes()) for path in found]
            except FileNotFoundError:
                continue  # it was marked, which changes its name
