"""The state machine of streamed messages.

Source: Microsoft, "Stream bot messages", and the texts that its SDKs look for.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ai_engine.domain.message import Json
from ai_engine.simulators.teams.codec import BadActivity, objects, read_message

if TYPE_CHECKING:
    from ai_engine.simulators.teams.platform import TeamsPlatform

STREAMS_MAX = 10_000
FORBIDDEN = "Content stream is not allowed"
COMPLETED = "Content stream is not allowed on an already completed streamed message"
TIMED_OUT = "Content stream finished due to exceeded streaming time."
CANCELED = "Content stream was canceled by user"
NOT_CONTINUED = "Request streamed content should contain the previously streamed content"


@dataclass(slots=True)
class Stream:
    id: str
    conversation: str
    began: float
    last: float
    sequence: int = 1
    text: str = ""
    ended: str = ""
    """Why nothing more is taken; empty while it is open."""


def stream_info(activity: Json) -> Json | None:
    """The streaminfo entity; None for a message like others."""
    for entity in objects(activity, "entities"):
        if entity.get("type") == "streaminfo":
            return entity
    return None


class Streams:
    def __init__(self, simulator: "TeamsPlatform") -> None:
        self._sim = simulator
        self._streams: OrderedDict[str, Stream] = OrderedDict()

    def take(self, conversation: str, activity: Json, info: Json, reply_to: str | None) -> Json:
        """One activity of a stream; the body of the answer.

        Raises:
            BadActivity: it is against the rules.
        """
        stream_id = info.get("streamId")
        if not stream_id:
            return self._begin(conversation, activity, info, reply_to)
        stream = self._streams.get(str(stream_id))
        if stream is None or stream.conversation != conversation:
            raise BadActivity(404, "ActivityNotFoundInConversation", "no such stream")
        self._check_open(stream)
        final = info.get("streamType") == "final"
        if final != (activity.get("type") == "message"):
            raise BadActivity(400, "BadSyntax", "only the final activity of a stream is a message")
        text = activity.get("text", "")
        if not isinstance(text, str) or not (text or activity.get("attachments")):
            raise BadActivity(400, "BadSyntax", "streaming activities include text")
        if not text.startswith(stream.text):
            raise BadActivity(403, "ContentStreamNotAllowed", NOT_CONTINUED)
        if final:
            return self._end(stream, activity, info)
        return self._grow(stream, text, info)

    def _begin(self, conversation: str, activity: Json, info: Json, reply_to: str | None) -> Json:
        sim = self._sim
        chat = sim.directory.find(conversation)
        if chat is None or chat.kind != "private" or sim.faults.streaming_forbidden:
            raise BadActivity(403, "ContentStreamNotAllowed", FORBIDDEN)
        if activity.get("type") != "typing" or info.get("streamSequence") != 1:
            raise BadActivity(400, "BadSyntax", "a stream begins with typing and sequence 1")
        if not isinstance(activity.get("text"), str) or not activity["text"]:
            raise BadActivity(400, "BadSyntax", "Start streaming activities should include text")
        now = sim.clock.time()
        stream = Stream(sim.new_id(), conversation, now, now)
        if info.get("streamType") == "streaming":
            stream.text = activity["text"]
        self._streams[stream.id] = stream
        while len(self._streams) > STREAMS_MAX:
            self._streams.popitem(last=False)
        sim.show_stream(stream.id, conversation, stream.text, reply_to)
        return {"id": stream.id}

    def _check_open(self, stream: Stream) -> None:
        now = self._sim.clock.time()
        if not stream.ended and now - stream.began >= self._sim.faults.stream_seconds:
            stream.ended = TIMED_OUT
            self._sim.transcript.mark(stream.id, state="failed")
        if stream.ended:
            raise BadActivity(403, "ContentStreamNotAllowed", stream.ended)
        if now - stream.last < self._sim.faults.stream_gap_seconds:
            raise BadActivity(429, "TooManyRequests", "API calls quota exceeded!")
        stream.last = now

    def _grow(self, stream: Stream, text: str, info: Json) -> Json:
        sequence = info.get("streamSequence")
        if not isinstance(sequence, int):
            raise BadActivity(400, "BadSyntax", "streamSequence is missing")
        if sequence <= stream.sequence:
            code = "ContentStreamSequenceOrderPreConditionFailed"
            return {"error": {"code": code, "message": "PreCondition failed"}}
        stream.sequence = sequence
        if info.get("streamType") == "streaming":
            stream.text = text
            entry = self._sim.transcript.get(stream.id)
            edits = entry.edits + 1 if entry is not None else 1
            self._sim.transcript.mark(stream.id, text=text, edits=edits)
        return {}

    def _end(self, stream: Stream, activity: Json, info: Json) -> Json:
        if "streamSequence" in info:
            raise BadActivity(400, "BadSyntax", "the final activity has no streamSequence")
        shown = read_message(activity)
        stream.ended = COMPLETED
        self._sim.replace_shown(stream.id, shown)
        return {"id": stream.id}

    def stop(self, stream_id: str) -> None:
        """The person presses Stop."""
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.ended:
            stream.ended = CANCELED
            self._sim.transcript.mark(stream_id, state="failed")
