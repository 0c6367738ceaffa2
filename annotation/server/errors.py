"""What goes wrong with a Label Studio server, in one line."""

from __future__ import annotations

from manifests.errors import LpseError


class ServerError(LpseError):
    """No server, or not the one that was meant; the text is one line, without tokens, cookies or passwords."""
