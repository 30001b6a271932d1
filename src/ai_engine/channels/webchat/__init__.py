"""The web chat: our own page, on our own protocol (docs/reference/websocket.md)."""
