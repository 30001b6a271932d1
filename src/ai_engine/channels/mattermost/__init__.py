"""Mattermost: a bot account by WebSocket and REST, or outgoing webhooks and slash commands."""
