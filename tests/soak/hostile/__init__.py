"""Short runs against a hostile server."""
