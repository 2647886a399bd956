"""Programs whose types are checked as a user's are."""
