"""The journal: inbound queue, sessions and outbox in one port; their consistency is the product."""
