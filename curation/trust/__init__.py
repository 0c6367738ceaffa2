"""Measure how far decisions can be trusted: compare them with those under other thresholds."""
