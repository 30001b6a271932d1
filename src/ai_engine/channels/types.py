"""The connectors that come with the engine."""

from typing import Final

BUILT_IN: Final = ("dingtalk", "webchat", "webhook")
"""Channel types. `engine` is none of them: between sessions there is nothing to configure."""
