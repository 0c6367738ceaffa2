"""The error of models: checkpoints, caches and settings that do not fit."""

from __future__ import annotations

from manifests.errors import LpseError


class ModelError(LpseError, ValueError):
    """A checkpoint, a cache or a setting that does not fit the network; the message is one line that names it."""
