"""What needs an extra, or belongs to another tool."""
