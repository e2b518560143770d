"""`payi-middleware journal`: what waits in the journal, what was refused for good, and how that gets another try."""
