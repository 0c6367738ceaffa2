"""Streams decoded audio as blocks: one pass over a file, all sample rates at once, constant memory."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import soxr

from manifests.time import to_ticks

from .clock import StreamClock
from .join import Joiner, after, merged, opened, packet_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PREROLL_SECONDS = 1.0
_SILENT_SAMPLES = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class AudioBlock:
    """A block of audio that starts at `start` seconds; all blocks are equally long, except a shorter last one.

    `native`: float32 (channels, n) at `native_rate` Hz; `mono`: rate in Hz to float32 (m,), the mean of the channels.
    Sample i of the recording is at i / rate seconds from zero, at every rate. Integer formats are scaled by 2^(bits -
    1). `gaps`: [start, end) in seconds from zero, inside this block, where no audio could be decoded and the samples
    are zeros. `errors`: packets that could not be decoded since the previous block. `layout`: FFmpeg's name of the
    channel layout ("stereo", "5.1"), "" if unknown.
    """

    index: int
    start: float
    native_rate: int
    native: NDArray[np.float32]
    gaps: list[tuple[float, float]]
    mono: dict[int, NDArray[np.float32]]
    errors: int = 0
    layout: str = ""


def audio_blocks(
    path: str | os.PathLike[str],
    rates: Sequence[int] = (16000,),
    block_seconds: int = 10,
    raw_format: str | None = None,
) -> Generator[AudioBlock, None, None]:
    """Decode the audio of the file at `path` once, as consecutive blocks of `block_seconds` whole seconds.

    Zero is the earliest start of any stream, so audio that starts late begins with a gap. Jumps of more than 50 ms in
    the timestamps and packets that cannot be decoded become gaps too; overlapping audio is trimmed. The mono signals
    equal `librosa.load(path, sr=rate, mono=True)`. Audio that ends before the video does is not padded. `raw_format`:
    "g722" or "gsm", for a file of that format, which has no header.

    Raises MediaError (at the first block) if nothing can be decoded, ValueError for rates and block lengths below 1.
    """
    if block_seconds < 1 or any(rate < 1 for rate in rates):
        raise ValueError(f"block_seconds={block_seconds}, rates={tuple(rates)}: all must be at least 1")
    with opened(path, raw_format) as (info, decoders):
        joined = merged([Joiner(StreamClock(info.zero, info.duration)).join(decoder) for decoder in decoders])
        blocks: _Blocks | None = None
        for silence, samples in joined:
            if blocks is None:
                layout = decoders[0].layout if len(decoders) == 1 else ""
                blocks = _Blocks(decoders[0].rate, len(samples), rates, block_seconds, layout)
            blocks.errors = sum(decoder.errors for decoder in decoders)
            yield from blocks.push(silence, samples)
        if blocks is None:
            raise decoders[0].nothing()
        blocks.errors = sum(decoder.errors for decoder in decoders)
        yield from blocks.finish()


def audio_span(path: str | os.PathLike[str], start: float, end: float) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield (rate in Hz, float32 (channels, n)) pieces that together are the audio in [start, end) seconds.

    The samples equal those of `audio_blocks`, but only that part of the file is read. Gaps are zeros; audio that ends
    before `end` is not padded. Raises MediaError if nothing can be decoded in the segment.
    """
    # Decoders need some audio before the first sample that counts, and some files seek too far: then again,
    # from the beginning.
    ahead = start - _PREROLL_SECONDS
    for seek in (ahead, None) if ahead > 0 else (None,):
        grid = None if seek is None else packet_grid(path)
        with opened(path) as (info, decoders):
            decoder = decoders[0]
            if seek is None:
                begin = StreamClock(info.zero, info.duration)
                tracks = [after(start, Joiner(replace(begin)), one) for one in decoders]
            elif all(one.seek(seek + info.zero) for one in decoders):
                clock = StreamClock(info.zero, None, back_seconds=math.inf)
                tracks = [Joiner(replace(clock), start, grid).join(one) for one in decoders]
            else:
                continue
            joined = merged(tracks)
            first = next(joined, None)
            if seek is not None and (first is None or first[0]):
                continue
            if first is None:
                raise decoder.nothing()
            left = to_ticks(end - start, decoder.rate)
            for silence, samples in chain([first], joined):
                for piece in chain(_silence(min(silence, left), samples), [samples]):
                    yield decoder.rate, piece[:, :left]
                    left -= min(left, piece.shape[1])
                    if left == 0:
                        return
            return


def mixed_span(
    path: str | os.PathLike[str],
    start: float,
    end: float,
    rate: int,
    matrix: Callable[[int], NDArray[np.float32]] | None = None,
) -> Iterator[NDArray[np.float32]]:
    """Yield the audio in [start, end) seconds mixed, at `rate` Hz: float32 (rows, n), at most a second per piece.

    `matrix` maps a number of channels to the (rows, channels) weights of the mix; without it, the mix is the mean.
    Gaps, ends and errors as in `audio_span`.
    """
    left = to_ticks(end - start, rate)
    streams: list[ResampledStream] = []
    weights: NDArray[np.float32] | None = None
    for native_rate, piece in audio_span(path, start, end):
        if weights is None:
            weights = np.full((1, len(piece)), 1 / len(piece), np.float32) if matrix is None else matrix(len(piece))
            streams = [ResampledStream(native_rate, rate) for _ in weights]
        for stream, row in zip(streams, weights @ piece, strict=True):
            stream.feed(row)
        ready = min(stream.ready for stream in streams)
        left -= ready
        yield np.stack([stream.take(ready) for stream in streams])
    if streams:
        for stream in streams:
            stream.feed(np.empty(0, np.float32), last=True)
        ready = min(left, *(stream.ready for stream in streams))  # a resampler may round the end up
        yield np.stack([stream.take(ready) for stream in streams])


def mono_span(path: str | os.PathLike[str], start: float, end: float, rate: int) -> NDArray[np.float32]:
    """All audio in [start, end) seconds at `rate` Hz, the mean of the channels, (n,); from `mixed_span`.

    The whole span is in memory: 10 MB per minute at 44.1 kHz.
    """
    pieces = [piece[0] for piece in mixed_span(path, start, end, rate)]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


def resampled(mono: NDArray[np.float32], rate: int, wanted: int) -> NDArray[np.float32]:
    """Resample a whole mono signal from `rate` to `wanted` Hz."""
    if rate == wanted:
        return mono
    return np.asarray(soxr.resample(mono, rate, wanted, quality="HQ"), np.float32)


def _silence(count: int, like: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield `count` samples of silence in pieces of about a second: a gap may be longer than fits into memory."""
    for begin in range(0, count, _SILENT_SAMPLES):
        yield np.zeros((len(like), min(_SILENT_SAMPLES, count - begin)), np.float32)


class ResampledStream:
    """The mono signal at one rate: fed second by second, taken block by block."""

    def __init__(self, native_rate: int, rate: int) -> None:
        self.rate = rate
        self.ready = 0
        self._parts: list[NDArray[np.float32]] = []
        self._resampler: soxr.ResampleStream | None = None
        if rate != native_rate:
            self._resampler = soxr.ResampleStream(native_rate, rate, 1, dtype="float32", quality="HQ")

    def feed(self, mono: NDArray[np.float32], last: bool = False) -> None:
        part = mono if self._resampler is None else self._resampler.resample_chunk(mono, last=last)
        self._parts.append(part)
        self.ready += len(part)

    def take(self, count: int) -> NDArray[np.float32]:
        """The next `count` samples, zero-padded if fewer are left: a resampler rounds the very end down."""
        joined = np.concatenate([*self._parts, np.zeros(max(0, count - self.ready), np.float32)])
        self._parts = [joined[count:].copy()]
        self.ready = len(self._parts[0])
        return joined[:count].copy()


class _Blocks:
    """Cuts the continuous native signal into blocks and resamples it.

    The resamplers are fed whole seconds at any block length, so that it cannot influence their output.
    """

    def __init__(self, rate: int, channels: int, rates: Sequence[int], block_seconds: int, layout: str) -> None:
        self.errors = 0  # so far, set by the owner
        self._rate = rate
        self._seconds = block_seconds
        self._layout = layout
        self._streams = {target: ResampledStream(rate, target) for target in rates}
        self._gaps: list[tuple[int, int]] = []  # in samples of the recording
        self._open = np.empty((channels, block_seconds * rate), np.float32)  # the block that is being filled
        self._filled = 0
        self._fed = 0  # of those, passed to the resamplers
        self._full: deque[NDArray[np.float32]] = deque()  # blocks whose resampled audio is not complete yet
        self._started = 0  # blocks that were filled
        self._index = 0  # blocks that were yielded
        self._reported = 0  # errors that blocks reported

    def push(self, silence: int, samples: NDArray[np.float32]) -> Iterator[AudioBlock]:
        """Append `silence` zeros as a gap, then float32 (channels, n); yield completed blocks."""
        if silence:
            position = self._started * self._open.shape[1] + self._filled
            self._gaps.append((position, position + silence))
        while silence:
            room = self._room(silence)
            room[:] = 0.0
            silence -= room.shape[1]
            yield from self._pass_on()
        while samples.shape[1]:
            room = self._room(samples.shape[1])
            room[:] = samples[:, : room.shape[1]]
            samples = samples[:, room.shape[1] :]
            yield from self._pass_on()

    def finish(self) -> Iterator[AudioBlock]:
        """Yield the remaining blocks; the last one may be short."""
        self._feed(self._filled, last=True)
        self._full.append(self._open[:, : self._filled].copy())
        while self._full:
            native = self._full.popleft()
            if native.shape[1]:
                yield self._block(native)

    def _room(self, count: int) -> NDArray[np.float32]:
        """The part of the open block for the next `count` samples, or for as many as still fit."""
        start, self._filled = self._filled, min(self._filled + count, self._open.shape[1])
        return self._open[:, start : self._filled]

    def _pass_on(self) -> Iterator[AudioBlock]:
        while self._filled - self._fed >= self._rate:
            self._feed(self._fed + self._rate)
        if self._filled == self._open.shape[1]:
            self._full.append(self._open)
            self._open = np.empty_like(self._open)
            self._filled = self._fed = 0
            self._started += 1
        # A resampler has latency: a block waits until the slowest stream has it whole.
        while self._full and all(stream.ready >= stream.rate * self._seconds for stream in self._streams.values()):
            yield self._block(self._full.popleft())

    def _feed(self, end: int, last: bool = False) -> None:
        """Pass the open block up to sample `end` to the resamplers."""
        part = self._open[:, self._fed : end]
        self._fed = end
        mono = part[0].copy()
        for channel in part[1:]:  # the mean over channels, in half the time of np.mean
            mono += channel
        mono /= len(part)
        for stream in self._streams.values():
            stream.feed(mono, last)

    def _block(self, native: NDArray[np.float32]) -> AudioBlock:
        rate, index = self._rate, self._index
        start = index * self._seconds * rate
        end = start + native.shape[1]
        gaps = [(max(a, start) / rate, min(b, end) / rate) for a, b in self._gaps if a < end and b > start]
        self._gaps = [gap for gap in self._gaps if gap[1] > end]
        errors, self._reported = self.errors - self._reported, self.errors
        self._index += 1
        # The number of samples whose times are inside the block: rounded up, like librosa.
        mono = {r: stream.take(-(-native.shape[1] * r // rate)) for r, stream in self._streams.items()}
        return AudioBlock(index, float(index * self._seconds), rate, native, gaps, mono, errors, self._layout)
