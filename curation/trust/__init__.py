"""How far a decision can be trusted: what other thresholds would change."""
