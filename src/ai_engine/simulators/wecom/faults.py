"""The knobs that only WeCom has."""

from dataclasses import dataclass

from ai_engine.simulators.faults import Count, Faults, Few, Seconds


@dataclass(slots=True, kw_only=True)
class WeComFaults(Faults):
    """`Faults` and what WeCom adds. `malformed_json` cuts the XML, `unknown_msgtype` sends a
    message of the type `sphfeed`."""

    retry_any_status: bool = True
    """A callback that is answered by any status but 200 is sent again too, as one page of WeCom's
    documentation has it (90238); without it only one that is not answered at all (90930)."""
    attempts: Few = 3
    """How often a callback is sent in all, until it is taken."""
    answer_seconds: Seconds = 5.0
    """How long a callback waits for its answer."""
    retry_seconds: Seconds = 0.2
    """Pause between two attempts. WeCom documents none."""
    wrong_aes_key: bool = False
    """Encrypt for another organisation, rightly signed."""
    recognition: str = ""
    """Words that come with voice messages."""
    token_seconds: float = 7200.0
    """Life of an access token."""
    send_errcode: int = 0
    """Refuse application messages with this errcode (such as 81013)."""
    ip_refused: str = ""
    """API calls are answered 60020, naming this as the address they come from."""
    no_directory: bool = False
    """Look-ups of members and departments are answered 48002."""
    no_license: bool = False
    """Receivers come back as `unlicenseduser`."""
    member_per_minute: Count = 30
    """Messages a minute to one member before further ones are dropped without a word (0: no
    limit)."""
    robot_per_minute: Count = 20
    """Messages a minute of the group robot before 45009."""
