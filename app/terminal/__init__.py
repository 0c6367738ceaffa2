"""The terminal: shared options, progress bars and tables."""
