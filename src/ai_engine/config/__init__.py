"""`ai-engine.json`: schema, loading, explaining, watching."""
