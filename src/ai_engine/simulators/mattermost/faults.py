"""The knobs that only Mattermost has."""

from dataclasses import dataclass

from ai_engine.simulators.faults import Count, Faults


@dataclass(slots=True, kw_only=True)
class MattermostFaults(Faults):
    """`Faults` and what Mattermost adds."""

    missing_permission: str = ""
    """Calls that need this permission (such as `create_post`) are answered 403."""
    developer_mode: bool = False
    """Errors keep their `detailed_error`, which names the missing permission."""
    forget_connections: bool = False
    """A connection that comes back is not known any more, as after a restart of the server."""
    skip_events: Count = 0
    """So many events are numbered but never sent."""
    edits_over: bool = False
    """Posts cannot be edited any more (`PostEditTimeLimit`)."""
    json_webhooks: bool = False
    """Outgoing webhooks are sent as JSON instead of a form."""
    strip_authorization: bool = False
    """A proxy takes the Authorization header away from WebSocket upgrades."""
