"""Local servers that speak a platform's API, for demonstrations and tests."""
