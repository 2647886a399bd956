"""Tables, progress bars and HTML pages."""
