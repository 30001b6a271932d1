"""Signatures, tokens, and the guard of outgoing requests."""
