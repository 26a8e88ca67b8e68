"""Documents, and where they come from."""
