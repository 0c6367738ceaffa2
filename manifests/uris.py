"""Media locations: `root:relative/path`, so that a corpus survives when its media folders move.

Names are kept as they are, spaces, quotes and newlines too; only '%' and bytes that are not valid UTF-8 are
written as %XX, so that every possible file name has one URI, and that is a valid string.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePath

from .errors import LpseError

_ROOT = re.compile(r"[a-z0-9][a-z0-9-]*")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})?")


class OutsideRoot(LpseError, ValueError):
    """A path that does not stay under its root."""


def quote(path: str | os.PathLike[str]) -> str:
    """The path as a valid string: '%' and bytes that are not UTF-8 as %XX."""
    text = os.fsencode(path).decode("utf-8", "surrogateescape")
    return "".join(f"%{ord(c) & 0xFF:02X}" if c == "%" or "\udc80" <= c <= "\udcff" else c for c in text)


def unquote(text: str) -> Path:
    """The path that `quote` wrote. Raises ValueError for a '%' without two hex digits."""

    def byte(match: re.Match[bytes]) -> bytes:
        if match[1] is None:
            raise ValueError(f"{text!r}: '%' at byte {match.start()} is not followed by two hex digits")
        return bytes.fromhex(match[1].decode())

    return Path(os.fsdecode(_ESCAPE.sub(byte, text.encode("utf-8"))))


def encode_path(root: str, relative: str | os.PathLike[str]) -> str:
    """The URI of a file under a root. Raises OutsideRoot for absolute paths, '..' and the root itself."""
    if not _ROOT.fullmatch(root):
        raise ValueError(f"root name {root!r} must be lower-case letters, digits and '-'")
    path = PurePath(relative)
    _check_inside(path, f"{root}:{relative}")
    return f"{root}:{quote(path)}"


def decode(uri: str) -> tuple[str, Path]:
    """Root name and relative path of a URI. Raises ValueError if it is not a URI, OutsideRoot as `encode_path`."""
    root, colon, rest = uri.partition(":")
    if not colon or not _ROOT.fullmatch(root):
        raise ValueError(f"{uri!r} is not of the form root:relative/path")
    path = unquote(rest)
    _check_inside(path, uri)
    return root, path


def resolve(uri: str, roots: Mapping[str, Path]) -> Path:
    """The file a URI names, symlinks followed; it need not exist.

    Raises ValueError for an unknown root, OutsideRoot when the path, or a symlink on it, leaves its root.
    """
    root, relative = decode(uri)
    if root not in roots:
        raise ValueError(f"{uri!r}: no root {root!r} among {', '.join(sorted(roots)) or 'none'}")
    base = Path(os.path.realpath(roots[root]))
    path = Path(os.path.realpath(base / relative))
    if not path.is_relative_to(base):
        raise OutsideRoot(f"{uri!r} leads to {path}, outside its root {base}")
    return path


def display_path(uri: str) -> str:
    """The path below its root, for people; a URI of another form, or one that is not valid UTF-8, stays as it is."""
    # the short way for a million rows: without an escape, the path is what follows the root
    root, colon, rest = uri.partition(":")
    if colon and "%" not in uri and "://" not in uri and _ROOT.fullmatch(root) and not rest.startswith("/"):
        return rest or uri
    try:
        relative = str(decode(uri)[1])
        relative.encode("utf-8")
    except ValueError:  # not root:path, or bytes that are no text: the URI shows them as %XX
        return uri
    return relative


def _check_inside(path: PurePath, shown: str) -> None:
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise OutsideRoot(f"{shown!r} must name a file below its root, without '..'")
