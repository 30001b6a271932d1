"""What is kept beside the journal."""
