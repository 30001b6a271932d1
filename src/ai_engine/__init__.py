"""ai-engine: a private AI assistant in the chat tools that a company already uses."""

__version__ = "0.1.0"
