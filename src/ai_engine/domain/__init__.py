"""Plain data that every floor speaks: no input or output, no third-party import."""
