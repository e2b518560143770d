"""What a unit costs: the catalogue, and how a request is priced from it."""
