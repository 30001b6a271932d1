"""The skills that come with the engine."""
