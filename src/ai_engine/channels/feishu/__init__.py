"""Feishu and Lark (飞书): messages of an app's bot, by HTTP events or a long connection."""
