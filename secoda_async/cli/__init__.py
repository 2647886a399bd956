"""The command line: reads arguments, calls the public API, prints."""
