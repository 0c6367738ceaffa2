"""The video detector: stillness and scene cuts, scored only where cuts passed on their audio."""
