"""DingTalk robots: HTTP mode and Stream mode."""
