"""The error of a Label Studio server, in one line."""

from __future__ import annotations

from manifests.errors import LpseError


class ServerError(LpseError):
    """The server is missing, unreachable or not the expected one; one line, without tokens, cookies or passwords."""
