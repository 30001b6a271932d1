"""The report of a verification: for a terminal, for programs, and as one HTML page."""

from dataclasses import asdict, dataclass
from html import escape
from typing import Any, Final

from ai_engine.cli.verification.checks import Result

SIGNS: Final = {"passed": "✔", "failed": "✘", "skipped": "–"}
_STYLE: Final = """
:root{color-scheme:light dark;--line:#d8dde3;--ok:#1a7f4b;--bad:#c0362c;--soft:#6b7683}
@media (prefers-color-scheme:dark){:root{--line:#38404a;--ok:#4cc38a;--bad:#ff7b6e;--soft:#98a3b0}}
body{font:15px/1.55 system-ui,"Noto Sans CJK SC",sans-serif;max-width:60rem;margin:2.5rem auto;
padding:0 1.25rem}
h1{font-size:1.5rem;margin:0 0 .25rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}
p{color:var(--soft);margin:.25rem 0}table{width:100%;border-collapse:collapse}
td,th{padding:.45rem .6rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
th{font-weight:600;color:var(--soft);font-size:.85rem}td:nth-child(4){white-space:nowrap;
text-align:right;font-variant-numeric:tabular-nums;color:var(--soft)}
.passed{color:var(--ok)}.failed{color:var(--bad);font-weight:600}.skipped{color:var(--soft)}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One channel that was tried."""

    channel: str
    type: str
    mode: str
    results: tuple[Result, ...]

    @property
    def ok(self) -> bool:
        return all(result.outcome != "failed" for result in self.results)


def as_data(reports: list[Report], at: str, version: str) -> dict[str, Any]:
    """For programs."""
    return {
        "ok": all(report.ok for report in reports),
        "at": at,
        "version": version,
        "channels": [
            {
                "channel": report.channel,
                "type": report.type,
                "mode": report.mode,
                "ok": report.ok,
                "checks": [asdict(result) for result in report.results],
            }
            for report in reports
        ],
    }


def as_html(reports: list[Report], at: str, version: str) -> str:
    """One page that needs nothing else."""
    ok = all(report.ok for report in reports)
    verdict = "全部通过 · all passed" if ok else "有检查未通过 · some checks failed"
    parts = [
        '<!doctype html><html lang="zh"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>ai-engine verify</title><style>{_STYLE}</style></head><body>",
        "<h1>功能验证 · Verification: "
        f'<span class="{"passed" if ok else "failed"}">{verdict}</span></h1>',
        f"<p>ai-engine {escape(version)} · {escape(at)} · 模拟平台 · simulated platforms</p>",
    ]
    for report in reports:
        mode = f" · {report.mode}" if report.mode else ""
        parts.append(f"<h2>{escape(report.channel)} ({escape(report.type)}{escape(mode)})</h2>")
        parts.append(
            "<table><tr><th></th><th>检查 · check</th><th>结果 · result</th><th>s</th></tr>"
        )
        parts += [_row(result) for result in report.results]
        parts.append("</table>")
    return "\n".join([*parts, "</body></html>", ""])


def _row(result: Result) -> str:
    return (
        f'<tr><td class="{result.outcome}">{SIGNS[result.outcome]}</td>'
        f"<td>{escape(result.zh)} · {escape(result.en)}</td>"
        f"<td>{escape(result.detail)}</td><td>{result.seconds:.2f}</td></tr>"
    )
