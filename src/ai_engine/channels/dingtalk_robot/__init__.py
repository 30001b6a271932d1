"""Custom robots of DingTalk groups: a webhook that only takes messages."""
