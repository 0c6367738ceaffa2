"""Reserved sources: material for evaluation alone, which is refused by its package's name and by the hash of its bytes.

The hashes are SHA-256, in the repository as `manifests/purity/reserved.sha256.gz`: 32 bytes each, sorted. Audio that a
gathered package shares with a reserved one, re-encoded, is listed there by its own hash.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from manifests.errors import LpseError

_NAMES = re.compile(
    r"blanket|asterisk-core-sounds-(es|fr|it|ru)(-\w+)?|asterisk-moh-opsound(-\w+)?|fillets-ng-data(-\w+)?"
    r"|fb-music-\w+|fretsonfire-songs-(muldjord|sectoid)|hyperrogue-music|minetest-data|wesnoth-[\d.]+-(data|music)"
    r"|drascula-music|bucklespring-data|extremetuxracer-data|openarena-data|sonic-pi-samples"
    r"|(remvze/)?moodist|rafaelmardojai/blanket|librosa/data|(karolpiczak/)?esc-(10|50)"
    r"|(jakobovski/)?free-spoken-digit-dataset",
    re.IGNORECASE,
)
_BYTES = 32
_MOST = 32 << 20


class ReservedError(LpseError):
    """A source that is reserved for evaluation, or a damaged list of them."""


def check_name(name: str) -> None:
    """Raise ReservedError if the package or repository of this name is reserved."""
    if _NAMES.fullmatch(name):
        raise ReservedError(f"{name}: reserved for evaluation, never for training")


def reserved_hashes(path: Path | None = None) -> frozenset[str]:
    """SHA-256 of all reserved files, in hex, from a list at `path` or the repository's. Raises ReservedError."""
    source = files("manifests") / "purity" / "reserved.sha256.gz" if path is None else path
    try:
        with source.open("rb") as packed, gzip.open(packed) as file:
            content = file.read(_MOST)
    except (OSError, EOFError) as error:
        raise ReservedError(f"{source}: the list of reserved files cannot be read: {error}") from error
    if len(content) % _BYTES or len(content) >= _MOST:
        raise ReservedError(f"{source}: {len(content)} bytes are no list of hashes")
    return frozenset(content[at : at + _BYTES].hex() for at in range(0, len(content), _BYTES))


def write_reserved(hashes: Iterable[str], path: Path) -> None:
    """Write a list of hashes; the same hashes give the same bytes."""
    content = b"".join(bytes.fromhex(one) for one in sorted(set(hashes)))
    beside = path.with_name(f".{path.name}.part")
    with beside.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(content)
    beside.replace(path)
