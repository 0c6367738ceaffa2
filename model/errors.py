"""What goes wrong with models that people bring."""

from __future__ import annotations

from manifests.errors import LpseError


class ModelError(LpseError, ValueError):
    """A checkpoint, a cache or a setting that does not fit the network; the message is one line that says what."""
