"""Extraction: which cuts, their captions, and the way of each through the encoders into the cache."""
