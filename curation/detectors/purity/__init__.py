"""The purity detector: a network of our own, trained on faint speech, singing and music under sound effects."""
