"""Media files that cost a reader far more than their size suggests."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from curation.media import write_media


def sound(seconds: int, rate: int = 16_000, seed: int = 0) -> Iterator[NDArray[np.float32]]:
    """Noise that nothing is wrong with, a second at a time; the same second again from the tenth on."""
    rng = np.random.default_rng(seed)
    known = [(0.05 * rng.standard_normal((1, rate))).astype(np.float32) for _ in range(10)]
    for second in range(seconds):
        yield known[second % 10]


def large_pictures(path: Path, side: int = 8192, seconds: int = 66) -> Path:
    """A film of three pictures of `side` x `side`, with sound."""
    pictures = (np.full((side, side, 3), 60 * k, np.uint8) for k in range(3))
    options = {"preset": "ultrafast"}
    fps = Fraction(3, seconds)
    write_media(
        path,
        frames=pictures,
        fps=fps,
        video_options=options,
        audio=sound(seconds),
        sample_rate=16_000,
        audio_codec="aac",
    )
    return path


def tiny_packets(path: Path, count: int = 1_000_000) -> Path:
    """A Matroska file of `count` packets, one sample at 8 kHz each."""
    samples = (1000 * np.random.default_rng(0).standard_normal(count)).astype("<i2")
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8000)
        stream.layout = "mono"
        for number in range(count):
            packet = av.Packet(samples[number : number + 1].tobytes())
            packet.pts = packet.dts = number
            packet.duration, packet.time_base, packet.stream = 1, Fraction(1, 8000), stream
            out.mux(packet)
    return path


def long_sound(path: Path, hours: float = 10.0) -> Path:
    """A WAV file at 8 kHz in 8 bits: 29 MB an hour."""
    write_media(path, audio=sound(round(3600 * hours), 8000), sample_rate=8000, audio_codec="pcm_u8")
    return path


def edit_list(path: Path, edits: Sequence[tuple[int, int]], seconds: int = 66) -> Path:
    """An MP4 file with sound and an edit list: (length in 1/1000 s, first sample at 16 kHz) of each edit."""
    plain = path.with_suffix(".plain.mp4")
    write_media(plain, audio=sound(seconds), sample_rate=16_000, audio_codec="aac")
    data = plain.read_bytes()
    plain.unlink()
    moov = next(box for box in _boxes(data, 0, len(data)) if box[0] == b"moov")
    trak = next(box for box in _boxes(data, moov[1] + 8, moov[2]) if box[0] == b"trak")
    assert moov[2] == len(data), "the index is last: what is put into it moves no samples"
    listed = struct.pack(">II", 0, len(edits)) + b"".join(struct.pack(">IiI", *edit, 0x10000) for edit in edits)
    parts = [data[begin:end] for kind, begin, end in _boxes(data, trak[1] + 8, trak[2]) if kind != b"edts"]
    parts.insert(1, _box(b"edts", _box(b"elst", listed)))
    made = data[moov[1] + 8 : trak[1]] + _box(b"trak", b"".join(parts)) + data[trak[2] : moov[2]]
    path.write_bytes(data[: moov[1]] + _box(b"moov", made))
    return path


def sparse(path: Path, size: int, head: bytes = b"") -> Path:
    """A file of `size` bytes that has `head` and then a hole."""
    with path.open("wb") as file:
        file.write(head)
        file.truncate(size)
    return path


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


def _boxes(data: bytes, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while begin < end:
        size, kind = struct.unpack(">I4s", data[begin : begin + 8])
        yield kind, begin, begin + size
        begin += size
