"""Evaluation of generated audio: blind listening tests."""
