"""Decisions: pure functions from stored scores, human evidence and a recipe to events, cuts and drops."""
