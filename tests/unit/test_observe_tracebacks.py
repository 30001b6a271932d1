"""Tracebacks in the log: where it went wrong, not what people wrote."""

import pytest

from ai_engine.domain.errors import SkillFailed
from ai_engine.observe.tracebacks import told

SAID = "my password is hunter2"


def _raised(action):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any error will do
        action()
    return caught.value


def _parse():
    int(SAID)


def _wrapped():
    try:
        int(SAID)
    except ValueError as error:
        raise SkillFailed("the number could not be read") from error


def test_a_librarys_words_are_left_out_but_its_place_is_told():
    text = "".join(told(_raised(_parse), with_words=False))
    assert SAID not in text
    assert text.endswith("ValueError\n")
    assert "_parse" in text


def test_the_engines_own_words_stay_and_its_cause_is_named():
    text = "".join(told(_raised(_wrapped), with_words=False))
    assert SAID not in text
    assert "SkillFailed: the number could not be read" in text
    assert text.index("ValueError") < text.index("SkillFailed")


def test_every_part_of_a_group_is_told_without_words():
    group = ExceptionGroup(SAID, [_raised(_parse), ExceptionGroup("inner", [_raised(_wrapped)])])
    text = "".join(told(group, with_words=False))
    assert SAID not in text
    assert text.count("Within the group") == 3


def test_words_stay_when_logs_may_hold_what_people_wrote():
    assert SAID in "".join(told(_raised(_parse), with_words=True))
