"""How one call travels: private, and free to change."""
