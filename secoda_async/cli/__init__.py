"""The command line: parses arguments, calls the public API and prints the result."""
