"""Who asked: every source, hostile values, precedence, concurrency."""
