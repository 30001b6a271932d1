"""WeCom's AI robots (智能机器人): encrypted HTTP callbacks, or a WebSocket that we hold."""
