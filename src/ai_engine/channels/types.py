"""The connectors that come with the engine, by type; each is imported when it is first wanted."""

from importlib import import_module
from typing import Final, cast

from ai_engine.channels.about import About
from ai_engine.channels.base import Channel
from ai_engine.channels.host import Host
from ai_engine.config.schema import ChannelConfig

BUILT_IN: Final = (
    "dingtalk",
    "wecom",
    "wecom_aibot",
    "feishu",
    "slack",
    "teams",
    "telegram",
    "mattermost",
    "matrix",
    "email",
    "webhook",
    "webchat",
    "dingtalk_robot",
    "wecom_robot",
    "feishu_robot",
)
"""Channel types: folders of `channels/` with `about.py` (ABOUT) and `channel.py` (build). `engine`
is none of them: between sessions there is nothing to configure."""


def type_of(name: str, config: ChannelConfig) -> str:
    """A channel's type: what it says, else its name; hyphens and underscores are the same."""
    return (config.type or name).replace("-", "_")


def about(type_: str) -> About:
    """What a built-in connector says of itself. Raises KeyError: there is none of this type."""
    if type_ not in BUILT_IN:
        raise KeyError(type_)
    return cast("About", import_module(f"ai_engine.channels.{type_}.about").ABOUT)


def build(type_: str, name: str, config: ChannelConfig, host: Host) -> Channel:
    """A channel of a built-in type. Raises KeyError: there is none of this type."""
    if type_ not in BUILT_IN:
        raise KeyError(type_)
    module = import_module(f"ai_engine.channels.{type_}.channel")
    return cast("Channel", module.build(name, config, host))
