"""The soak: long runs with faults, against the emulator and against a hostile server."""
