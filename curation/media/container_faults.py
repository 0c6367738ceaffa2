"""Reads the first bytes and the outline of files that libavformat reads wrongly or refuses without a reason."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

_LARGEST_TRAILER = 4096  # bytes after the last chunk of a WAV file that programs leave there
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)  # written to a pipe: libavformat reads to the end


def understates_length(path: str | os.PathLike[str]) -> bool:
    """True for a WAV file with more audio than its header states.

    The sizes in its header have 32 bits: beyond 4 GiB they begin again at 0, and programs that were stopped leave the
    sizes of an earlier moment. What follows the stated audio is then not another chunk, but audio.
    """
    with open(path, "rb") as file:
        if file.read(4) not in (b"RIFF", b"RIFX") or file.seek(8) != 8 or file.read(4) != b"WAVE":
            return False
        size = os.fstat(file.fileno()).st_size
        position = 12
        while (chunk := _chunk(file, position)) is not None:
            name, length = chunk
            position += 8 + length + length % 2
            if name == b"data":
                return length not in _UNKNOWN_SIZES and not _ends_well(file, position, size)
            if position >= size:
                return False
    return False


def _chunk(file: BinaryIO, position: int) -> tuple[bytes, int] | None:
    file.seek(position)
    head = file.read(8)
    return None if len(head) < 8 else (head[:4], int(struct.unpack("<I", head[4:])[0]))


def _ends_well(file: BinaryIO, position: int, size: int) -> bool:
    """True if whole chunks and at most a short trailer are left from `position` on."""
    while size - position > _LARGEST_TRAILER:
        chunk = _chunk(file, position)
        if chunk is None or not all(32 <= code < 127 for code in chunk[0]):
            return False
        position += 8 + chunk[1] + chunk[1] % 2
        if position > size:
            return False
    return True


def refusal(path: str | os.PathLike[str], head: bytes) -> str | None:
    """The reason why a file that begins with `head` cannot be opened, in words; None if its outline shows none."""
    if head[4:8] in _MP4_BOXES:
        return None if _has_box(path, b"moov") else "its index is missing: the recording or the download was cut off"
    return "text, not media" if _is_text(head) else None


def _has_box(path: str | os.PathLike[str], wanted: bytes) -> bool:
    """True if an MP4 file has a box at its top level."""
    with open(path, "rb") as file:
        size, position = os.fstat(file.fileno()).st_size, 0
        while position + 8 <= size:
            file.seek(position)
            length, name = struct.unpack(">I4s", file.read(8))
            if name == wanted:
                return True
            if length == 1:
                length = int.from_bytes(file.read(8), "big")
            if length < 8:
                return False
            position += length
    return False


def _is_text(head: bytes) -> bool:
    text = head.decode("utf-8", "ignore")
    whole = len(head) - len(text.encode()) <= 3  # the last character may be cut
    return whole and bool(text) and all(char.isprintable() or char in "\r\n\t\f" for char in text)


_BITRATES = (  # kbit/s by layer, of MPEG-1 and of MPEG-2
    {
        1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
        2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
        3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    },
    {
        1: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
        **dict.fromkeys((2, 3), (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)),
    },
)
_RATES = (44_100, 48_000, 32_000)  # of MPEG-1; half of it in MPEG-2, a quarter in 2.5


BARE = ("mp3", "aac")
"""The containers that are nothing but frames of audio."""


def is_frame(packet: bytes, container: str) -> bool:
    """False for a packet of a bare MP3 or AAC file that is not the frame that its first bytes announce.

    Those files have no other structure: bytes after the audio become packets too, and would count as time.
    """
    return (_mpeg_bytes if container == "mp3" else _adts_bytes)(packet) == len(packet)


def _mpeg_bytes(head: bytes) -> int | None:
    """Bytes of an MPEG audio frame by its header (ISO/IEC 11172-3); None for other bytes, and for free format."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bitrate, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3:
        return None
    bits = 1000 * _BITRATES[version != 3][layer][bitrate - 1]
    hertz = _RATES[rate] // {3: 1, 2: 2, 0: 4}[version]
    if layer == 1:
        return (12 * bits // hertz + padding) * 4
    return (72 if layer == 3 and version != 3 else 144) * bits // hertz + padding


def _adts_bytes(head: bytes) -> int | None:
    """Bytes of an ADTS frame by its header (ISO/IEC 13818-7, 6.2); None for other bytes."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    return (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
