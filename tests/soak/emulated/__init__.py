"""A long run against the emulator."""
