"""Requests, responses, credentials and connections."""
