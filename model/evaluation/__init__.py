"""Evaluation of generated audio: blind comparisons by listeners."""
