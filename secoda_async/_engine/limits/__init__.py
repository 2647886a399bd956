"""How many writes may start, and when."""
