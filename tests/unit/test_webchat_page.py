"""The page's files hold nothing that its security policy forbids, and both languages."""

import re
from pathlib import Path

import pytest

STATIC = Path(__file__).parents[2] / "src/ai_engine/static/chat"


@pytest.mark.parametrize("file", sorted(STATIC.iterdir()), ids=lambda file: file.name)
def test_the_page_holds_nothing_that_its_policy_forbids(file):
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text)
    assert not re.search(r"<(?!svg)[^>]*\s(style|on\w+)=", text) or file.suffix == ".js"
    for address in re.findall(r"""(?:src|href|from)\s*=?\s*["'](https?:)?//[^"']*""", text):
        raise AssertionError(f"{file.name} loads from elsewhere: {address}")


def test_both_languages_have_the_same_words():
    text = (STATIC / "i18n.js").read_text(encoding="utf-8")
    chinese, english = re.findall(r"^  (?:zh|en): \{\n(.*?)^  \},", text, re.M | re.S)
    words = [re.findall(r"^    (\w+):", part, re.M) for part in (chinese, english)]
    assert words[0] == words[1]
    assert len(words[0]) > 30


def test_no_word_is_left_over():
    text = (STATIC / "i18n.js").read_text(encoding="utf-8")
    english = re.findall(r"^  en: \{\n(.*?)^  \},", text, re.M | re.S)[0]
    pages = [file for file in STATIC.iterdir() if file.suffix in (".js", ".html")]
    used = "".join(file.read_text(encoding="utf-8") for file in pages if file.name != "i18n.js")
    words = re.findall(r"^    (\w+):", english, re.M)
    assert [word for word in words if f'"{word}"' not in used and word != "title"] == []
