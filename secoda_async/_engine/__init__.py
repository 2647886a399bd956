"""The private engine. Read `pipeline.py` first: it sends one call, and names the module of each concern."""
