"""Microsoft Teams, by the Bot Framework's connector protocol."""
