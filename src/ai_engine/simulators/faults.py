"""The knobs that make a simulated platform misbehave, as one checked, mutable record."""

import difflib
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, cast

import msgspec

from ai_engine.domain.errors import Malformed
from ai_engine.domain.message import Json

Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Few = Annotated[int, msgspec.Meta(ge=0, le=100)]
Size = Annotated[int, msgspec.Meta(ge=0, le=64 * 1024 * 1024)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=600)]


@dataclass(slots=True, kw_only=True)
class Faults:
    """Knobs that every platform has. A count goes down with each use; a flag stays until cleared.

    The first group spoils what the platform sends to the engine, the second what it answers.
    """

    clock_skew_seconds: float = 0.0
    """Added to the time stamps that are signed."""
    wrong_secret: bool = False
    """Sign with a secret that is not the app's."""
    duplicate: Few = 0
    """How many more times each message is sent, with the same message id."""
    reorder: Few = 0
    """Send each run of so many messages of one conversation backwards (a second at most is waited
    for a run to fill)."""
    delay_seconds: Seconds = 0.0
    """Wait before each message is sent."""
    malformed_json: bool = False
    """Cut the message's JSON in the middle."""
    oversized_bytes: Size = 0
    """Pad the message's text to at least so many bytes."""
    unknown_msgtype: bool = False
    """Send messages of a type that no connector knows."""

    error_burst: Count = 0
    """The next so many API calls are answered 503."""
    drop_answer: Count = 0
    """The next so many API calls have their effect, but the connection closes without an answer."""
    malformed_answer: Count = 0
    """The next so many API calls have their effect, but the answer is cut in the middle."""
    answer_delay_seconds: Seconds = 0.0
    """Wait before each API call is answered."""
    throttle_after: int = -1
    """After so many more message sends, further ones are throttled (-1: never)."""
    throttle_times: Count = 0
    """How many sends are throttled before the knob clears itself (0: until cleared)."""
    expired_token: Count = 0
    """The next so many calls with an access token find it expired."""
    drop_at_frame: Count = 0
    """Cut a long connection, without a close frame, when its frame of this number (from 1) has been
    sent; then the knob clears itself."""

    def take(self, name: str) -> bool:
        """Use up one of a counted knob; False when it is at 0."""
        left = cast("int", getattr(self, name))
        if left <= 0:
            return False
        setattr(self, name, left - 1)
        return True

    def throttled(self) -> bool:
        """Count one message send; whether it is throttled."""
        if self.throttle_after < 0:
            return False
        if self.throttle_after > 0:
            self.throttle_after -= 1
            return False
        if self.throttle_times:
            self.throttle_times -= 1
            if self.throttle_times == 0:
                self.throttle_after = -1
        return True

    def change(self, changes: Json) -> None:
        """Set the named knobs, all or none.

        Raises:
            Malformed: a knob that does not exist or a value of the wrong type.
        """
        known = [f.name for f in fields(self)]
        for name in changes:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                raise Malformed(f"no fault knob is called {name!r}", hint=hint)
        try:
            changed: Any = msgspec.convert({**asdict(self), **changes}, type=type(self))
        except msgspec.ValidationError as error:
            raise Malformed(f"a fault knob has a wrong value: {error}") from error
        for name in changes:
            setattr(self, name, getattr(changed, name))

    def clear(self) -> None:
        """Put every knob back to its rest."""
        rest = type(self)()
        for field in fields(self):
            setattr(self, field.name, getattr(rest, field.name))

    def as_json(self) -> Json:
        """Every knob with its value."""
        return asdict(self)
