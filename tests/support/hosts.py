"""What the engine gives to a connector, for tests that build one by itself."""

import hashlib

from ai_engine.channels.host import Host
from ai_engine.domain.message import Media, media_kind
from ai_engine.events.base import MemoryEvents
from ai_engine.journal.base import Limits

from support.clock import ManualClock


class MemoryMedia:
    """`MediaStore` in memory."""

    def __init__(self):
        self.kept = {}

    async def put(self, content, *, name="", mime=""):
        ref = "blob:" + hashlib.sha256(f"{name}|{mime}|".encode() + content).hexdigest()
        self.kept[ref] = Media(kind=media_kind(mime), content=content, name=name, mime=mime)
        return ref

    async def get(self, ref):
        return self.kept.get(ref)


class MemoryNotes:
    """`Notes` in memory; given to two hosts, they are one channel before and after a restart."""

    def __init__(self):
        self.kept = {}

    def put(self, key, value):
        assert isinstance(key, str)
        assert isinstance(value, str)
        if len(f"{key}{value}".encode()) <= Limits().note_bytes_max:
            self.kept[key] = value

    async def get(self, key):
        return self.kept.get(key)


async def restarted(channel):
    """The channel as the next process builds it: what its host keeps is all that it knows."""
    await channel.close()
    made = type(channel)(channel.name, channel.config, channel.host)
    await made.start()
    return made


async def nothing_stored(message_id):
    return None


def make_host(egress=None, clock=None, *, stored=None, events=None, media=None, notes=None):
    """A `Host`; what a test does not need is left out."""
    return Host(
        egress=egress,
        clock=clock or ManualClock(),
        media=media or MemoryMedia(),
        stored=stored or nothing_stored,
        notes=notes or MemoryNotes(),
        events=events or MemoryEvents(),
    )
