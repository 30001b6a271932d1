"""News that may be lost: "session X is at n", partial text, "configuration reloaded"."""
