"""What goes over the wire: requests, answers, keys and connections."""
