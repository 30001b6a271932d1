"""The knobs that only Telegram has."""

from dataclasses import dataclass

from ai_engine.simulators.faults import Count, Faults


@dataclass(slots=True, kw_only=True)
class TelegramFaults(Faults):
    """`Faults` and what Telegram adds."""

    privacy_off: bool = False
    """The bot is shown every message of a group, not only what names it."""
    not_administrator: bool = False
    """The bot is no administrator of groups: it does not hear of reactions there."""
    marks_refused: Count = 0
    """The next so many texts with a parse mode are answered "can't parse entities"."""
    drafts_off: bool = False
    """`sendMessageDraft` does not exist, as on an older Bot API server of one's own."""
    edits_gone: Count = 0
    """The next so many edits are answered "message to edit not found", as after a deletion."""
    photos_refused: Count = 0
    """The next so many photos are answered "PHOTO_INVALID_DIMENSIONS"."""
    blocked: bool = False
    """Everybody has blocked the bot: messages are answered HTTP 403."""
    missing_right: str = ""
    """Messages into groups are answered "not enough rights to send <this> to the chat"."""
    migrated: bool = False
    """Each group is a supergroup now: its old id is answered with `migrate_to_chat_id`."""
    rival: Count = 0
    """The next so many getUpdates are ended by another process that polls (409)."""
    bad_file_path: str = ""
    """getFile names this as the file's path."""
    messages_per_second: Count = 30
    """Messages a second, over all chats, before 429 (0: no limit)."""
    chat_per_second: Count = 0
    """Messages a second in one chat before 429 (0: no limit, as for short bursts)."""
    group_per_minute: Count = 20
    """Messages a minute in one group before 429 (0: no limit)."""
    retry_after: Count = 3
    """Seconds that a 429 asks to wait."""
