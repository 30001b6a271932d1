"""The knobs that only DingTalk has."""

from dataclasses import dataclass

from ai_engine.simulators.faults import Count, Faults


@dataclass(slots=True, kw_only=True)
class DingTalkFaults(Faults):
    """`Faults` and what DingTalk adds."""

    no_staff_id: bool = False
    """Messages come without `senderStaffId`, as from outsiders or to an unpublished robot."""
    over_quota: bool = False
    """Messages come without text and with `errCode` 20001: the organisation's quota is used up."""
    session_webhook_expired: bool = False
    """Replies to any sessionWebhook are refused, though its expiry may still be ahead."""
    session_webhook_seconds: float = 5400.0
    """Life of each new sessionWebhook; 0 or less issues one that has expired already."""
    reply_errcode: int = 0
    """Refuse replies and custom robot messages with this errcode (such as 310000), HTTP 200."""
    token_seconds: float = 7200.0
    """Life of an access token."""
    qps_limit: Count = 0
    """Calls a second for each API before `QpsLimitForAppkeyAndApi`, HTTP 403 (0: no limit; a
    standard organisation has 20)."""
    monthly_quota: bool = False
    """API calls are answered `ApiCountLimitForOrg`, HTTP 403."""
    missing_scope: str = ""
    """Calls that need this permission are answered that the app lacks it: HTTP 403 with
    `requiredScopes`, or errcode 88 with sub_code 60011 on the older host."""
    custom_robot_per_minute: Count = 20
    """Messages a minute of one custom robot before errcode 410100."""
    card_refused: str = ""
    """New cards are refused with this code (such as `param.templateUnpublished`)."""
    cards_gone: bool = False
    """Writes to any card are answered as if it did not exist."""
    stream_bytes_max: Count = 10_000
    """The longest streamed text of a card. The public pages disagree: 3 KB advised, or 10 KB."""
    card_value_bytes_max: Count = 0
    """The longest value of `cardParamMap` (0: not checked; the reference says 1 KB, the vendor's
    SDK sends more)."""
    stream_needs_stream_callback: bool = False
    """Streaming into a card whose `callbackType` is not STREAM is answered HTTP 500."""
    group_disbanded: bool = False
    """Proactive group messages are answered `group.disbanded`."""
