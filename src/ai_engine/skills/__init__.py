"""Skills: tools made from Python functions, and the built-in ones."""
