"""Who may do what: one pure function, one table."""
