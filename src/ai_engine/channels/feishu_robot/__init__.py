"""Feishu custom group bots (飞书自定义机器人): messages into one group, nothing back."""
