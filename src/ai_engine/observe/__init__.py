"""Metrics, logs, traces, health."""
