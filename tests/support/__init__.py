"""Shared by tests: made-up scores and corpora, media with known content, a browser, servers."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The folder of the repository."""
