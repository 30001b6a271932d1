"""Slack apps: Events API and Socket Mode."""
