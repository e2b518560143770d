"""What the endpoints take and answer, by which bodies are read and the API is described."""
