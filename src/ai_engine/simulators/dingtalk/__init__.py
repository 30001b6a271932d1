"""A simulated DingTalk: robot messages in, replies and proactive messages out."""

from ai_engine.simulators.dingtalk.server import DingTalkSimulator

__all__ = ["DingTalkSimulator"]
