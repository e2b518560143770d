"""`payi-middleware serve` and `payi-middleware keys`: a Pay-i compatible service of one's own."""
