"""Mixtures with known labels: sound effects with speech, singing or music under them, drawn from a seed."""
