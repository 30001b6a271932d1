"""The knobs that only Feishu has."""

from dataclasses import dataclass

from ai_engine.simulators.faults import Count, Faults


@dataclass(slots=True, kw_only=True)
class FeishuFaults(Faults):
    """`Faults` and what Feishu adds."""

    missing_scope: str = ""
    """Calls that this right allows are answered 99991672, naming it."""
    token_seconds: float = 7200.0
    """Life of an access token."""
    gateway_limit: Count = 0
    """The next so many API calls are answered 99991400, HTTP 429."""
    reply_code: int = 0
    """Messages are refused with this code (such as 230006), HTTP 400."""
    refuse_cards: Count = 0
    """The next so many cards are refused as invalid: 230099."""
    stream_closed: bool = False
    """Writing an element is answered 300309: streaming mode is closed."""
    stream_timeout: Count = 0
    """The next so many writes of an element are answered 200850, and close the stream."""
    card_gone: bool = False
    """Every operation of a card is answered 200740: there is none of this id."""
    sequence_ahead: int = 0
    """Added to a new card's sequence, as by a writer whose clock runs ahead."""
    group_messages: bool = False
    """The app may read all group messages: those without an @ reach it too."""
    old_schema: bool = False
    """Events are sent in schema 1.0."""
    plain_events: bool = False
    """Events are not encrypted, though an Encrypt Key is set."""
    tenant: str = ""
    """The organisation that events come from; empty: the simulated one."""
    thread: str = ""
    """Group messages are written in this thread."""
    from_bot: bool = False
    """Messages are another bot's."""
    refuse_connection: int = 0
    """Handshakes are refused with this Handshake-Status (403, 514, 1000040350)."""
    fragment_bytes: Count = 0
    """Events of the long connection are cut into frames of so many bytes (0: never)."""
    person_hidden: bool = False
    """People are outside the app's range of contacts."""
