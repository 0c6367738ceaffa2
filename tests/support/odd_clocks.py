"""Files whose container's clock is not the clock of their sound: joined, restarted, set ahead, running away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curation.media import write_media

from . import media_files as files

RATE = 48_000
FPS = 10
_AUDIO = {".ts": "aac", ".mpg": "mp2", ".mp3": "libmp3lame", ".ogg": "libopus", ".mkv": "aac", ".flv": "aac"}


@dataclass(frozen=True)
class Odd:
    """A file of `seconds` with a burst at each of `bursts`, in seconds from its beginning.

    `splices`: where recordings are joined. Frame k of the video, at k / FPS seconds, shows the number k.
    """

    path: Path
    bursts: tuple[float, ...]
    splices: tuple[float, ...]
    seconds: float
    has_video: bool


def _part(path: Path, seconds: float, at: float, bursts: tuple[float, ...], video: bool) -> Path:
    """The part of the recording from `at` seconds on."""
    inside = [burst - at for burst in bursts if at <= burst < at + seconds]
    noise = np.random.default_rng(round(at)).normal(0, 0.002, (1, round(seconds * RATE))).astype(np.float32)
    first, images = round(at * FPS), files.numbered_frames(256)
    write_media(
        path,
        frames=(images[(first + k) % 256] for k in range(round(seconds * FPS))) if video else None,
        fps=FPS if video else None,
        video_codec=files.VIDEO_CODECS.get(path.suffix, "libx264"),
        video_options={"bf": "0", "g": "20"},
        audio=[files.clicks(RATE, seconds, inside) + noise],
        sample_rate=RATE,
        audio_codec=_AUDIO[path.suffix],
        audio_bitrate=192_000,
    )
    return path


def _joined(folder: Path, suffix: str, lengths: tuple[float, ...], video: bool, ahead: float = 0.0) -> Odd:
    """Parts put end to end, byte after byte; each clock starts again, or `ahead` seconds later than it would."""
    ends = tuple(float(end) for end in np.cumsum(lengths))
    bursts = tuple(start + 1.5 for start in range(0, int(ends[-1]) - 1, 4))
    whole, at = b"", 0.0
    for number, length in enumerate(lengths):
        part = _part(folder / f"{number}{suffix}", length, at, bursts, video)
        if ahead and number:
            part = files.remux(part, folder / f"late {number}{suffix}", output_ts_offset=str(at + ahead * number))
        whole += part.read_bytes()
        at += length
    path = folder / f"odd{suffix}"
    path.write_bytes(whole)
    return Odd(path, bursts, ends[:-1], ends[-1], video)


def _drifting(folder: Path, suffix: str, drift: float) -> Odd:
    """A recording whose sound card is slow or fast: its timestamps run away from the count of its samples."""

    def edit(packet: Any, index: int) -> bool:
        packet.pts, packet.dts = round(packet.pts * (1 + drift)), round(packet.dts * (1 + drift))
        return True

    bursts = tuple(start + 1.5 for start in range(0, 58, 4))
    source = _part(folder / f"0{suffix}", 60.0, 0.0, bursts, video=True)
    path = files.remux(source, folder / f"odd{suffix}", edit)
    return Odd(path, tuple(burst * (1 + drift) for burst in bursts), (), 60.0, True)


@dataclass(frozen=True)
class Maker:
    """Makes a file of one kind in a folder."""

    make: Callable[..., Odd]
    arguments: tuple[Any, ...]
    has_video: bool = True

    def __call__(self, folder: Path) -> Odd:
        return self.make(folder, *self.arguments)


ODD: dict[str, Maker] = {
    "two transport streams": Maker(_joined, (".ts", (12.0, 14.0), True), True),
    "two transport streams of sound": Maker(_joined, (".ts", (12.0, 14.0), False), False),
    "short pieces": Maker(_joined, (".ts", (6.0, 6.0, 6.0, 6.0), True), True),
    "pieces that step back 8 s": Maker(_joined, (".ts", (8.0, 8.0, 8.0), False), False),
    "a clock set 600 s ahead": Maker(_joined, (".ts", (12.0, 14.0), True, 600.0), True),
    "two program streams": Maker(_joined, (".mpg", (12.0, 14.0), True), True),
    "two MP3 files": Maker(_joined, (".mp3", (12.0, 14.0), False), False),
    "two Ogg files": Maker(_joined, (".ogg", (12.0, 14.0), False), False),
    "a slow sound card": Maker(_drifting, (".mkv", 0.0005)),
    "a fast sound card": Maker(_drifting, (".flv", -0.001)),
    "a slow sound card in a transport stream": Maker(_drifting, (".ts", 0.001)),
}
"""A maker for each kind, by name."""
