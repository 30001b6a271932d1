"""The fields of Telegram's Message (Bot API 10.0) that hold nothing said, by what they are."""

from typing import Final

_EVENTS: Final = """boost_added channel_chat_created chat_background_set chat_owner_changed
chat_owner_left chat_shared checklist_tasks_added checklist_tasks_done connected_website
delete_chat_photo direct_message_price_changed forum_topic_closed forum_topic_created
forum_topic_edited forum_topic_reopened general_forum_topic_hidden general_forum_topic_unhidden
gift gift_upgrade_sent giveaway_completed giveaway_created group_chat_created left_chat_member
managed_bot_created message_auto_delete_timer_changed migrate_from_chat_id migrate_to_chat_id
new_chat_members new_chat_photo new_chat_title paid_message_price_changed passport_data
pinned_message poll_option_added poll_option_deleted proximity_alert_triggered refunded_payment
successful_payment suggested_post_approval_failed suggested_post_approved suggested_post_declined
suggested_post_paid suggested_post_refunded supergroup_chat_created unique_gift users_shared
video_chat_ended video_chat_participants_invited video_chat_scheduled video_chat_started
web_app_data write_access_allowed"""
_WRAPPING: Final = """author_signature business_connection_id caption caption_entities chat date
direct_messages_topic edit_date effect_id entities external_reply forward_origin from
guest_bot_caller_chat guest_bot_caller_user guest_query_id has_media_spoiler has_protected_content
is_automatic_forward is_from_offline is_paid_post is_topic_message link_preview_options
media_group_id message_id message_thread_id paid_star_count quote reply_markup
reply_to_checklist_task_id reply_to_message reply_to_poll_option_id reply_to_story
sender_boost_count sender_business_bot sender_chat sender_tag show_caption_above_media
suggested_post_info text via_bot"""

SERVICE: Final = frozenset(_EVENTS.split())
"""Tell of an event in the chat: somebody joined, something was pinned."""
ENVELOPE: Final = frozenset(_WRAPPING.split())
"""Around the content: who, when, where, in answer to what."""
