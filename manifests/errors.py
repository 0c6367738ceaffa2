"""Errors and problems: what stops a command, and what is wrong with one input."""

from __future__ import annotations

from typing import NamedTuple


class LpseError(Exception):
    """The root of all errors that a caller can mend; the text is one line: place, value, limit, cure."""


class Problem(NamedTuple):
    """The reason why one input came to nothing, a word, and the detail, one line."""

    reason: str
    detail: str
