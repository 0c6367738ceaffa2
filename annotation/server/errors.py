"""What goes wrong with a Label Studio server, in one line."""

from __future__ import annotations


class ServerError(Exception):
    """No server, or not the one that was meant; the text is one line, without tokens, cookies or passwords."""
