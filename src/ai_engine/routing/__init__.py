"""Routing rules: which part answers a message."""
