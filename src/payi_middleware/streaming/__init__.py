"""Results that come after the headers: trailers, a last event, `on_summary`, and the results route."""
