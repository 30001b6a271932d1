"""The `email` connector: a mailbox that answers the people on its allow-list."""
