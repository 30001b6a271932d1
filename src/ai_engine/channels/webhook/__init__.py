"""The generic signed HTTP bot, for systems that have no connector of their own."""
