"""Reserved sources: material for evaluation alone, which is refused by its package's name and by the hash of its bytes.

The repository's list, `manifests/purity/reserved.sha256`, holds the first 8 bytes of each SHA-256, sorted: of all audio
in the reserved packages and repositories, and of those files of gathered packages that share audio with them.
"""

from __future__ import annotations

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
_BYTES = 8
_MOST = 8 << 20


class ReservedError(LpseError):
    """A source that is reserved for evaluation, or a damaged list of them."""


def check_name(name: str) -> None:
    """Raise ReservedError if the package or repository of this name is reserved."""
    if _NAMES.fullmatch(name):
        raise ReservedError(f"{name}: reserved for evaluation, never for training")


class Reserved:
    """A set of hashes of reserved files; `in` takes a whole SHA-256 in hex."""

    def __init__(self, hashes: Iterable[str] = ()) -> None:
        self._hashes = frozenset(one[: 2 * _BYTES] for one in hashes)

    def __contains__(self, digest: str) -> bool:
        return digest[: 2 * _BYTES] in self._hashes

    def __len__(self) -> int:
        return len(self._hashes)

    @property
    def content(self) -> bytes:
        """The list as bytes: the same hashes give the same ones."""
        return b"".join(bytes.fromhex(one) for one in sorted(self._hashes))


def read_reserved(path: Path | None = None) -> Reserved:
    """The list at `path`, else the repository's. Raises ReservedError for a missing or damaged one."""
    source = files("manifests") / "purity" / "reserved.sha256" if path is None else path
    try:
        with source.open("rb") as file:
            content = file.read(_MOST)
    except OSError as error:
        raise ReservedError(f"{source}: the list of reserved files cannot be read: {error.strerror}") from error
    if len(content) % _BYTES or len(content) >= _MOST:
        raise ReservedError(f"{source}: {len(content)} bytes are not a list of hashes")
    return Reserved(content[at : at + _BYTES].hex() for at in range(0, len(content), _BYTES))


def write_reserved(reserved: Reserved, path: Path) -> None:
    """Write a list of hashes."""
    beside = path.with_name(f".{path.name}.part")
    beside.write_bytes(reserved.content)
    beside.replace(path)
