"""The notes that an engine gives to its channels."""

from ai_engine.journal.memory import MemoryJournal
from ai_engine.journal.notes import ChannelNotes
from ai_engine.journal.sqlite import SqliteJournal

from support.road import road


async def test_a_channel_finds_its_notes_after_a_restart_of_the_engine(tmp_path):
    async with road(tmp_path) as r:
        notes = r.engine.plan.channels["dingtalk"].host.notes
        notes.put("message", "answer")
        assert await notes.get("message") == "answer"
    async with road(tmp_path) as r:
        channels = r.engine.plan.channels
        assert await channels["dingtalk"].host.notes.get("message") == "answer"
        assert await channels["webchat"].host.notes.get("message") is None


async def test_notes_are_their_channels_own():
    async with MemoryJournal() as journal:
        one, two = ChannelNotes(journal, "one"), ChannelNotes(journal, "two")
        one.put("k", "v")
        assert (await one.get("k"), await two.get("k")) == ("v", None)


async def test_a_note_that_cannot_be_read_is_as_good_as_none(tmp_path, caplog):
    async with SqliteJournal(tmp_path / "journal.db") as journal:
        notes = ChannelNotes(journal, "one")
    notes.put("late", "v")
    assert await notes.get("k") is None
    assert "a note could not be read" in caplog.text
