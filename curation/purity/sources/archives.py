"""Audio files inside the archives of packages: ZIP, Qt resources, Clonk groups, and wave files laid end to end.

Archives are untrusted: sizes, counts and depths are bounded, nothing is written outside memory, and an archive that
does not keep to its format raises ArchiveError.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from manifests.errors import LpseError

AUDIO = frozenset({"aif", "aiff", "au", "flac", "g722", "gsm", "m4a", "mp3", "oga", "ogg", "opus", "wav"})
MOST_FILES = 200_000
MOST_BYTES = 512 << 20
"""Of one file, and of an archive that is read as a whole."""
_DEPTH = 16

Inner = tuple[str, Callable[[], bytes]]
"""A file in an archive: its path inside, and a function that reads it."""


class ArchiveError(LpseError):
    """An archive or a file that cannot be read; the message gives the reason, not the path."""


def extension(path: str) -> str:
    """The extension of a path in small letters, without the dot."""
    return path.rsplit("/", 1)[-1].rpartition(".")[2].lower()


def bounded(path: Path) -> bytes:
    """The content of a file. Raises ArchiveError for more than MOST_BYTES."""
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ArchiveError(f"{size} bytes, more than {MOST_BYTES}")
    return path.read_bytes()


def reader(path: Path) -> Callable[[Path], Iterator[Inner]] | None:
    """The function that yields the audio files in an archive, None for files that are no archives."""
    kind = extension(path.name)
    if kind in {"pk3", "pk4", "sb2", "sb3", "wz", "zip"}:
        return zipped if zipfile.is_zipfile(path) else None
    if kind in {"ocd", "ocf", "ocg", "ocs", "c4d", "c4g"}:
        return clonk_group if _begins(path, b"\x1e\x8c") else None
    if kind == "rcc":
        return qt_resource if _begins(path, b"qres") else None
    return riff_files if kind == "cat" else None


def zipped(path: Path) -> Iterator[Inner]:
    """Yield the audio files in a ZIP archive, sorted; they can be read only while this runs."""
    with zipfile.ZipFile(path) as archive:
        inner = [one for one in archive.infolist() if not one.is_dir() and extension(one.filename) in AUDIO]
        _check_count(len(inner))
        for one in sorted(inner, key=lambda one: one.filename):
            yield one.filename, lambda one=one: _unzipped(archive, one)  # type: ignore[misc]


def riff_files(path: Path) -> Iterator[Inner]:
    """Yield the wave files that lie one after the other inside a file of another format, named by their number."""
    content = bounded(path)
    at, number = content.find(b"RIFF"), 0
    while at >= 0:
        end = at + 8 + int.from_bytes(content[at + 4 : at + 8], "little")
        if content[at + 8 : at + 12] == b"WAVE" and end <= len(content):
            yield f"{number:04d}.wav", lambda at=at, end=end: content[at:end]  # type: ignore[misc]
            number += 1
            at = content.find(b"RIFF", end)
        else:
            at = content.find(b"RIFF", at + 4)


def qt_resource(path: Path) -> Iterator[Inner]:
    """Yield the audio files in a Qt resource file (rcc, versions 1 to 3) that are stored uncompressed or with zlib."""
    content = bounded(path)
    try:
        version, tree, data, names = struct.unpack_from(">4I", content, 4)
        node_size = 14 if version < 2 else 22
        found = list(_qt_files(content, tree, names, node_size, 0, "", 0))
    except (struct.error, IndexError, UnicodeError) as error:
        raise ArchiveError(f"damaged Qt resource file: {error}") from error
    _check_count(len(found))
    for name, flags, offset in found:
        if extension(name) in AUDIO:
            yield name, lambda flags=flags, at=data + offset: _qt_data(content, at, flags)  # type: ignore[misc]


def clonk_group(path: Path) -> Iterator[Inner]:
    """Yield the audio files in a packed group of (Open)Clonk and in the groups inside it."""
    packed = bounded(path)
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        # a gzip stream with other magic bytes and a plain header of 10 bytes
        content = stream.decompress(packed[10:], MOST_BYTES)
    except zlib.error as error:
        raise ArchiveError(f"damaged Clonk group: {error}") from error
    if stream.unconsumed_tail:
        raise ArchiveError(f"more than {MOST_BYTES} bytes")
    yield from _clonk_files(content, "", 0)


def _begins(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _check_count(count: int) -> None:
    if count > MOST_FILES:
        raise ArchiveError(f"{count} files, more than {MOST_FILES}")


def _unzipped(archive: zipfile.ZipFile, one: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(one) as file:
            content = file.read(MOST_BYTES + 1)
    except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError) as error:
        raise ArchiveError(str(error)) from error
    if len(content) > MOST_BYTES:
        raise ArchiveError(f"more than {MOST_BYTES} bytes")
    return content


def _qt_files(
    content: bytes, tree: int, names: int, node_size: int, node: int, folder: str, depth: int
) -> Iterator[tuple[str, int, int]]:
    """Yield (path, flags, offset in the data) of the files below a node of the tree."""
    at = tree + node * node_size
    name_at, flags = struct.unpack_from(">IH", content, at)
    name = ""
    if node:
        (length,) = struct.unpack_from(">H", content, names + name_at)
        begin = names + name_at + 6  # after the length and a hash
        name = folder + content[begin : begin + 2 * length].decode("utf-16-be")
    if flags & 2:  # a folder
        count, first = struct.unpack_from(">II", content, at + 6)
        _check_count(count)
        if depth > _DEPTH or (first <= node and count):
            raise IndexError("folders in a circle")
        for child in range(first, first + count):
            inside = f"{name}/" if node else ""
            yield from _qt_files(content, tree, names, node_size, child, inside, depth + 1)
    else:
        yield name, flags, struct.unpack_from(">I", content, at + 10)[0]


def _qt_data(content: bytes, at: int, flags: int) -> bytes:
    try:
        (size,) = struct.unpack_from(">I", content, at)
    except struct.error as error:
        raise ArchiveError(f"damaged Qt resource file: {error}") from error
    data = content[at + 4 : at + 4 + size]
    if flags & 4:
        raise ArchiveError("compressed with Zstandard")
    if flags & 1:
        try:
            return zlib.decompressobj().decompress(data[4:], MOST_BYTES)
        except zlib.error as error:
            raise ArchiveError(f"damaged Qt resource file: {error}") from error
    return data


def _clonk_files(content: bytes, folder: str, depth: int) -> Iterator[Inner]:
    header = bytearray(byte ^ 237 for byte in content[:204])
    for i in range(0, len(header) - 2, 3):
        header[i], header[i + 2] = header[i + 2], header[i]
    if len(header) < 204 or not header.startswith(b"RedWolf Design GrpFolder") or depth > _DEPTH:
        raise ArchiveError("damaged Clonk group")
    (count,) = struct.unpack_from("<I", header, 36)
    _check_count(count)
    first = 204 + count * 316
    if first > len(content):
        raise ArchiveError("damaged Clonk group")
    for i in range(count):
        at = 204 + i * 316
        name = content[at : at + 257].split(b"\0")[0].decode("utf-8", "replace")
        is_group, size, offset = struct.unpack_from("<I I 4x I", content, at + 264)
        begin = first + offset
        if is_group:
            yield from _clonk_files(content[begin : begin + size], f"{folder}{name}/", depth + 1)
        elif extension(name) in AUDIO:
            yield f"{folder}{name}", lambda begin=begin, size=size: content[begin : begin + size]  # type: ignore[misc]
