"""Which scripts a text is written in, and whether a model's languages cover them.

By script only, which can be decided honestly and cheaply: French and English are one here.
"""

import re
from collections.abc import Iterable

_SCRIPTS = {
    "kana": re.compile("[\u3041-\u3096\u30a1-\u30fa\u31f0-\u31ff\uff66-\uff9d]"),
    "hangul": re.compile("[\uac00-\ud7a3\u1100-\u11ff\u3131-\u318e]"),
    "han": re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"),
    "cyrillic": re.compile("[\u0400-\u052f]"),
    "arabic": re.compile("[\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufefc]"),
    "hebrew": re.compile("[\u0590-\u05ff]"),
    "thai": re.compile("[\u0e01-\u0e5b]"),
    "devanagari": re.compile("[\u0900-\u097f]"),
    "greek": re.compile("[\u0370-\u03ff\u1f00-\u1fff]{2}"),  # one letter alone is mathematics
}
_LATIN = re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")
_LANGUAGES = {
    "han": "zh",
    "kana": "ja",
    "hangul": "ko",
    "cyrillic": "ru uk bg be sr mk kk mn",
    "arabic": "ar fa ur",
    "hebrew": "he",
    "thai": "th",
    "devanagari": "hi mr ne",
    "greek": "el",
}
_SCRIPT_OF = {code: script for script, codes in _LANGUAGES.items() for code in codes.split()}
"""Every other language is written in Latin letters. `ja` covers Japanese with its kana; Han
without kana is taken for Chinese."""


def scripts(text: str) -> frozenset[str]:
    """The scripts that a reader of `text` must know. Latin counts only when it stands alone:
    names and terms in it are everywhere. Han beside kana is Japanese."""
    if text.isascii():
        return frozenset({"latin"}) if _LATIN.search(text) else frozenset()
    found = {name for name, pattern in _SCRIPTS.items() if pattern.search(text)}
    if "kana" in found:
        found.discard("han")
    if not found and _LATIN.search(text):
        found.add("latin")
    return frozenset(found)


def speaks(languages: Iterable[str], needed: frozenset[str]) -> bool:
    """Whether a model with these languages (`en`, `zh-CN`, `*`) reads all these scripts."""
    if not needed:
        return True
    known: set[str] = set()
    for language in languages:
        if language == "*":
            return True
        primary = language.lower().replace("_", "-").split("-")[0]
        known.add(_SCRIPT_OF.get(primary, "latin"))
    return needed <= known
