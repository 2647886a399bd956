"""Integrations that need an extra or belong to another tool."""
