"""Pay-i's HTTP API, answered from the books."""
