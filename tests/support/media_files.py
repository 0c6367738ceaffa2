"""Media files with known content, healthy and broken, for the tests of `curation.media`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from curation.media import AudioBlock, audio_blocks, write_media

Float = NDArray[np.float32]
VIDEO_CODECS = {".webm": "libvpx", ".mpg": "mpeg2video", ".avi": "mpeg4"}
NO_REORDERING = {"bf": "0"}  # so that every packet has a dts, whatever the container


def tone(rate: int, seconds: float, frequency: float = 440.0, channels: int = 1, level: float = 0.3) -> Float:
    """float32 (channels, n)."""
    signal = level * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)
    return np.tile(signal.astype(np.float32), (channels, 1))


def clicks(rate: int, seconds: float, times: Iterable[float], channels: int = 1) -> Float:
    """Silence with one sample of 0.9 at each time (a whole sample), float32 (channels, n)."""
    signal = np.zeros((channels, round(rate * seconds)), np.float32)
    for time in times:
        signal[:, round(rate * time)] = 0.9
    return signal


def numbered_frames(count: int) -> list[NDArray[np.uint8]]:
    """Frame k, 64 x 32, shows k as eight upright bars, white for a set bit: no codec can blur that."""
    bits = [np.unpackbits(np.array([k], np.uint8)) * np.uint8(255) for k in range(count)]
    return [np.tile(np.repeat(row, 8)[None, :, None], (32, 1, 3)) for row in bits]


def number(image: NDArray[np.uint8]) -> int:
    """The number that an image shows."""
    bars = image.reshape(image.shape[0], 8, -1).mean(axis=(0, 2))
    return int(np.packbits(bars > 127)[0])


def write(path: Path, audio: Float | None, rate: int = 48000, codec: str = "aac", fps: float | None = None) -> Path:
    """A file with `audio` and, with `fps`, as much video."""
    frames = None
    if fps is not None:
        seconds = 10.0 if audio is None else audio.shape[1] / rate
        frames = (np.full((32, 32, 3), k % 256, np.uint8) for k in range(round(seconds * fps)))
    write_media(
        path,
        frames=frames,
        fps=fps,
        video_codec=VIDEO_CODECS.get(path.suffix, "libx264"),
        video_options=NO_REORDERING,
        audio=None if audio is None else [audio],
        sample_rate=None if audio is None else rate,
        audio_codec=codec,
        audio_bitrate=96_000 * (1 if audio is None else len(audio)),
    )
    return path


def remux(
    source: Path,
    target: Path,
    edit: Callable[[Any, int], bytes | bool] = lambda packet, index: True,
    only: str | None = None,
    **options: str,
) -> Path:
    """Copy the packets without re-encoding. `edit` sees each audio packet and its number: it may change the
    times, and returns True to keep it, False to drop it, or bytes to put in its place."""
    with av.open(str(source)) as old, av.open(str(target), "w", options=options) as new:
        streams = [s for s in old.streams if only in (None, s.type)]
        copies: dict[int, Any] = {s.index: new.add_stream_from_template(s) for s in streams}
        index = 0
        for packet in old.demux(streams):
            if packet.dts is None:
                continue
            copy: Any = packet
            if packet.stream.type == "audio":
                kept = edit(packet, index)
                index += 1
                if kept is False:
                    continue
                if isinstance(kept, bytes):
                    copy = av.Packet(kept)
                    copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
                    copy.time_base = packet.time_base
            copy.stream = copies[packet.stream_index]
            new.mux(copy)
    return target


def shift(seconds: float, first: int = 0, last: int | None = None) -> Callable[[Any, int], bool]:
    """An edit for `remux`: move the audio packets from `first` to before `last` by `seconds`."""

    def edit(packet: Any, index: int) -> bool:
        if index >= first and (last is None or index < last):
            ticks = round(seconds / packet.time_base)
            packet.pts += ticks
            packet.dts += ticks
        return True

    return edit


def chain(target: Path, sources: Sequence[Path]) -> Path:
    """A Matroska file whose one audio stream goes on with the packets of the next source."""
    with av.open(str(target), "w") as new:
        stream: Any = None
        start = Fraction(0)
        for source in sources:
            with av.open(str(source)) as old:
                if stream is None:
                    stream = new.add_stream_from_template(old.streams.audio[0])
                end = start
                for packet in old.demux(old.streams.audio[0]):
                    if packet.dts is None or packet.pts is None or not packet.size:
                        continue
                    begin = start + packet.pts * packet.time_base
                    end = begin + (packet.duration or 0) * packet.time_base
                    copy: Any = av.Packet(bytes(packet))
                    copy.time_base = Fraction(1, 1000)
                    copy.pts = copy.dts = round(begin * 1000)
                    copy.stream = stream
                    new.mux(copy)
                start = end
    return target


def damage(source: Path, target: Path, start: float = 0.4, end: float = 0.5) -> Path:
    """A copy with noise in place of a part of its bytes, given as shares of its length."""
    data = bytearray(source.read_bytes())
    first, last = int(len(data) * start), int(len(data) * end)
    data[first:last] = np.random.default_rng(1).integers(0, 256, last - first, np.uint8).tobytes()
    target.write_bytes(data)
    return target


def cut_off(source: Path, target: Path, share: float = 0.5) -> Path:
    """A copy of the first `share` of its bytes."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def decode(path: Path, rates: Sequence[int] = (16000,), block_seconds: int = 10) -> list[AudioBlock]:
    return list(audio_blocks(path, rates, block_seconds))


def native(blocks: Sequence[AudioBlock]) -> Float:
    return np.concatenate([block.native for block in blocks], axis=1)


def mono(blocks: Sequence[AudioBlock], rate: int = 16000) -> Float:
    return np.concatenate([block.mono[rate] for block in blocks])


def gaps(blocks: Sequence[AudioBlock]) -> list[tuple[float, float]]:
    """All gaps, those that a block boundary cut made whole again."""
    found: list[tuple[float, float]] = []
    for block in blocks:
        for start, end in block.gaps:
            if found and abs(found[-1][1] - start) < 1e-9:
                start = found.pop()[0]
            found.append((start, end))
    return found


def peaks(signal: Float, rate: int, level: float = 0.3) -> list[float]:
    """Times of the loudest sample of every burst above `level`, in seconds."""
    loud = np.flatnonzero(np.abs(signal) > level)
    bursts = np.split(loud, np.flatnonzero(np.diff(loud) > rate // 20) + 1) if len(loud) else []
    return [float(burst[np.argmax(np.abs(signal[burst]))]) / rate for burst in bursts]


def lag(sound: Float, expected: Float) -> int:
    """By how many samples `sound` comes later than `expected`, both (n,), where they agree best."""
    size = 2 * max(len(sound), len(expected))
    spectra = np.fft.rfft(sound, size) * np.fft.rfft(expected, size).conj()
    best = int(np.argmax(np.fft.irfft(spectra, size)))
    return best if best < size // 2 else best - size
