"""One reader per study."""
