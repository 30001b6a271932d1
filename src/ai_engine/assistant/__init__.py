"""The assistant: a model client and a tool loop, both our own because they are the hot path."""
