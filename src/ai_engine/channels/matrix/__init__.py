"""Matrix: a bot account by long polling, on any homeserver."""
