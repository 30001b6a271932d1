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
    """Robot API calls are answered HTTP 403, naming this as the scope that the app lacks."""
    custom_robot_per_minute: Count = 20
    """Messages a minute of one custom robot before errcode 410100."""
    group_disbanded: bool = False
    """Proactive group messages are answered `group.disbanded`."""
