"""Splitting, plain text and cards as text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.channels.text import plain, sendable, size, split, with_card, without_tables
from ai_engine.domain.reply import Button, Card

_UNITS = st.sampled_from(["bytes", "chars", "utf16"])
_ANY = st.text(st.characters(codec=None), max_size=400)
_MARKDOWN = st.lists(
    st.sampled_from(
        ["```", "```python", "~~~", "code()", "你好,世界。", "word " * 9, "", "👩‍👩‍👧", "a" * 50]
    ),
    max_size=40,
).map("\n".join)


def _words(text: str) -> str:
    return re.sub(r"\s+", "", text)


@given(_ANY, st.integers(16, 80), _UNITS)
def test_no_part_is_longer_than_the_limit_or_blank(text: str, limit: int, unit: str):
    parts = split(text, limit, unit)
    assert all(size(part, unit) <= limit for part in parts)
    assert all(part.strip() for part in parts)


@given(
    _ANY.filter(lambda text: "```" not in text and "~~~" not in text), st.integers(16, 80), _UNITS
)
def test_nothing_but_white_space_is_lost(text: str, limit: int, unit: str):
    assert _words("".join(split(text, limit, unit))) == _words(sendable(text))


@given(_MARKDOWN, st.integers(64, 160), _UNITS)
def test_markdown_with_code_keeps_its_words_and_the_limit(text: str, limit: int, unit: str):
    parts = split(text, limit, unit)
    assert all(size(part, unit) <= limit for part in parts)
    without_fences = [re.sub(r"(?m)^(```|~~~)\w*$", "", part) for part in [text, *parts]]
    assert _words("".join(without_fences[1:])) == _words(without_fences[0])


def test_a_text_within_the_limit_is_left_alone():
    assert split("  hello\n\nworld \n", 100) == ["  hello\n\nworld \n"]


def test_a_blank_text_has_no_parts():
    assert split(" \n ", 100) == []


def test_a_limit_in_bytes_cuts_between_chinese_characters():
    parts = split("天" * 20, 16, "bytes")
    assert [len(part) for part in parts] == [5, 5, 5, 5]


def test_a_limit_in_utf16_units_never_halves_an_emoji():
    assert split("😀" * 20, 17, "utf16") == ["😀" * 8, "😀" * 8, "😀" * 4]


def test_paragraphs_are_kept_whole_where_they_fit():
    first, second = "First paragraph.", "Second paragraph."
    assert split(f"{first}\n\n{second}", 30) == [first, second]


def test_sentences_are_kept_whole_where_lines_do_not_fit():
    assert split("一二三四五六七八九。十一二三四五六七", 16) == [
        "一二三四五六七八九。",
        "十一二三四五六七",
    ]


def test_a_cut_code_block_is_closed_and_opened_again():
    code = "\n".join(f"line_{n} = {n}" for n in range(12))
    parts = split(f"```python\n{code}\n```", 80)
    assert len(parts) > 1
    assert all(part.startswith("```python\n") for part in parts)
    assert all(part.rstrip().endswith("\n```") for part in parts)


def test_a_code_block_that_fits_goes_whole_into_the_next_part():
    block = "```\na = 1\nb = 2\nc = 3\n```"
    parts = split("Some words before the code, quite a few.\n" + block, 50)
    assert parts == ["Some words before the code, quite a few.", block]


@pytest.mark.parametrize(("limit", "unit"), [(15, "chars"), (100, "lines")])
def test_a_senseless_limit_is_an_error(limit: int, unit: str):
    with pytest.raises(ValueError, match=r"limit 15|unknown unit"):
        split("text", limit, unit)


def test_plain_text_keeps_words_lists_and_addresses():
    markdown = (
        "# Weather\n**Berlin** is *sunny*, ~~not~~ `21°`\n"
        "- [map](https://m.example) 2 * 3 * 4\n![sky](https://i.example/s.png) snake_case_name"
    )
    assert plain(markdown) == (
        "Weather\nBerlin is sunny, not 21°\n"
        "- map (https://m.example) 2 * 3 * 4\nsky https://i.example/s.png snake_case_name"
    )


def test_plain_text_leaves_code_as_it_is():
    assert plain("```python\nx = a**b**c  # not a heading\n```\n**bold**") == (
        "x = a**b**c  # not a heading\nbold"
    )


@given(_ANY)
def test_plain_text_and_tables_never_fail(text: str):
    plain(text)
    without_tables(text)


def test_a_table_becomes_a_list():
    table = "Before\n| City | Sky |\n|---|:---:|\n| 北京 | 晴 |\n| Berlin | |\nAfter"
    assert (
        without_tables(table) == "Before\n- **City**: 北京; **Sky**: 晴\n- **City**: Berlin\nAfter"
    )


def test_a_table_inside_code_stays():
    code = "```\n| a | b |\n|---|---|\n```"
    assert without_tables(code) == code


def test_a_short_value_is_said_only_beside_its_name():
    card = Card(title="Leave", fields=(("Days", "2"), ("Who", "Li")))
    assert with_card("Leave in 2026\n\nDays: 2", card) == "Leave in 2026\n\nDays: 2\n\n- Who: Li"


def test_of_a_card_beside_a_text_only_what_is_new_is_added():
    card = Card(
        title="Weather",
        fields=(("Now", "21°"), ("Wind", "3 m/s")),
        buttons=(Button(label="Map", url="https://m.example"),),
    )
    assert with_card("Weather: 21°", card) == (
        "Weather: 21°\n\n- Wind: 3 m/s\n\n[Map](https://m.example)"
    )


def test_a_card_alone_is_shown_whole():
    card = Card(title="Title", markdown="Body", image_url="https://i.example/a.png")
    assert with_card("", card) == "**Title**\n\nBody\n\n![](https://i.example/a.png)"
