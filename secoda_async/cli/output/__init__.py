"""What people read: tables, progress, HTML pages."""
