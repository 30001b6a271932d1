"""Tries a channel from end to end against a simulated platform, and reports."""
