"""The write limit: its arithmetic, its waiters, and the limiter that clients of one key share."""
