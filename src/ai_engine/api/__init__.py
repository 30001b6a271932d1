"""The admin REST API (`/api/v1`) and the WebSocket (`/api/ws`)."""
