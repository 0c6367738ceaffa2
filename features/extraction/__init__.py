"""Extraction: select the cuts, caption them, and encode each into the cache."""
