"""Timeouts, locks and connection slots on an injected clock, for several event loops."""
