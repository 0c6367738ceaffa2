"""Names made from content: the same thing has the same id on every machine and in every run."""

from __future__ import annotations

import hashlib
import json
import os
from operator import index


def digest(*parts: object) -> str:
    """First 16 hex of the SHA-256 over the parts as canonical JSON (sorted keys, no spaces, ASCII).

    Parts are what JSON can hold; 1 and 1.0 differ, lists and tuples don't. Raises TypeError for anything else
    and ValueError for NaN and infinities, which JSON has not.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def cut_id(recording_id: str, start_ms: int, end_ms: int) -> str:
    """The id of the cut [start_ms, end_ms). Raises TypeError for times that are not whole numbers."""
    return digest(recording_id, index(start_ms), index(end_ms))


def source_id(uri: str) -> str:
    """The id of the place `uri`."""
    return digest(uri)


def file_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of the file's bytes, 64 hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
