"""Joins a decoder's pieces into one continuous signal, placed to the sample.

Where a recorder's sound card and its clock disagree, timestamps run away from the count of the samples. That drift is
followed slowly, by resampling: cutting the signal up or leaving it behind the video would both be wrong.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import numpy as np

from manifests.time import to_ticks

from .clock import StreamClock
from .container import MediaError, open_media
from .decode import JITTER_SECONDS, ROUNDING_SECONDS, Decoder, Piece
from .probe import MediaInfo, describe, no_audio
from .tracks import audio_streams

if TYPE_CHECKING:
    from numpy.typing import NDArray

PRIMING_SECONDS = 0.1  # of a codec's first packets; some containers place them apart from the audio they belong to
_DRIFT = 0.005  # sound cards and clocks differ by less; a larger difference is audio that was lost or repeated
_STRETCH = 0.003  # of a piece at most, to follow a drift: 5 cents
_AWAY_SECONDS, _BACK_SECONDS = 0.015, 0.002  # following begins and ends at this mean distance from the timestamps
_MEMORY = 0.25  # share of a new distance in their mean
_TAPS = 16  # on each side of the interpolation


class Joiner:
    """Joins a decoder's pieces into one continuous signal that starts at `begin` seconds.

    `grid`, (first, step): the first piece that counts ends a whole number of steps after sample `first`. Its end, not
    its start, because decoders cut their first frame after a seek as they do at the beginning.
    """

    def __init__(self, clock: StreamClock, begin: float = 0.0, grid: tuple[int, int] | None = None) -> None:
        self._clock = clock
        self._begin = begin
        self._grid = grid
        self._placed = 0  # samples so far
        self._drift = _Drift()

    def join(self, decoder: Decoder) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield (samples of silence, then float32 (channels, n)) per piece."""
        held: tuple[int, NDArray[np.float32]] | None = None  # only the last piece may be cut at its end
        is_first = self._begin == 0
        for piece in decoder.pieces():
            placed = self._place(piece, decoder.rate)
            if placed[1].shape[1] == 0:
                continue
            if held is not None:
                if is_first and placed[0] and held[1].shape[1] <= PRIMING_SECONDS * decoder.rate:
                    placed = held[0] + held[1].shape[1] + placed[0], placed[1]
                else:
                    yield held
                is_first = False
            held = placed
        if held is not None:
            silence, samples = held
            yield silence, samples[:, : max(1, samples.shape[1] - decoder.padding)]

    def _place(self, piece: Piece, rate: int) -> tuple[int, NDArray[np.float32]]:
        samples = piece.samples
        count = samples.shape[1]
        offset = 0
        if piece.time is not None:
            offset = self._offset(piece.time, count, rate, piece.lossy)
            if offset == 0 and (extra := self._drift.step(count, rate)):
                samples = stretched(samples, count + extra)
                count += extra
        skip = min(max(-offset, 0), count)
        silence = max(offset, 0) if count else 0
        self._placed += silence + count - skip
        return silence, samples[:, skip:]

    def _offset(self, time: float, count: int, rate: int, lossy: bool) -> int:
        end = to_ticks(self._begin, rate) + self._placed
        position = to_ticks(self._clock.seconds(time, end / rate), rate)
        if self._placed == 0:
            return self._on_grid(position + count, rate) - count - end  # the first piece sets the start, to the sample
        # After lost audio only the timestamp is left, good to a millisecond or so.
        jitter = ROUNDING_SECONDS if lossy else JITTER_SECONDS
        distance = position - end
        if lossy or not self._drift.explains(distance, count, rate):
            self._drift = _Drift()
            return distance if abs(distance) > jitter * rate else 0
        return 0

    def _on_grid(self, position: int, rate: int) -> int:
        if self._grid is None:
            return position
        first, step = self._grid
        nearest = first + step * round((position - first) / step)
        return nearest if abs(nearest - position) <= ROUNDING_SECONDS * rate else position


class _Drift:
    """The distance of the timestamps from the count of the samples, and how it is followed."""

    def __init__(self) -> None:
        self._last = 0  # samples
        self._mean = 0.0
        self._follows = False

    def explains(self, distance: int, count: int, rate: int) -> bool:
        """True if `distance`, in samples before a piece of `count`, is jitter, or drift since the piece before."""
        change = abs(distance - self._last)
        allowed = JITTER_SECONDS * rate if abs(distance) <= JITTER_SECONDS * rate else _DRIFT * max(count, rate)
        self._last = distance
        self._mean += _MEMORY * (distance - self._mean)
        return change <= allowed and abs(distance) <= 4 * JITTER_SECONDS * rate

    def step(self, count: int, rate: int) -> int:
        """The samples to add to a piece of `count`, or, below 0, to take from it."""
        limit = _BACK_SECONDS if self._follows else _AWAY_SECONDS
        self._follows = abs(self._mean) > limit * rate
        if not self._follows:
            return 0
        most = int(_STRETCH * count)
        extra = max(-most, min(round(self._mean), most))
        self._last -= extra
        self._mean -= extra
        return extra


def stretched(samples: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Float32 (channels, n) resampled to `count` samples, by a windowed sinc; the counts differ by little."""
    at = np.arange(count) * (samples.shape[1] / count)
    whole = np.floor(at).astype(np.intp)
    distance = np.arange(1 - _TAPS, _TAPS + 1) - (at - whole)[:, np.newaxis]
    kernel = (np.sinc(distance) * np.cos(np.pi / 2 * distance / (_TAPS + 1)) ** 2).astype(np.float32)
    padded = np.pad(samples, ((0, 0), (_TAPS - 1, _TAPS)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _TAPS, axis=1)
    return np.stack([np.einsum("nk,nk->n", channel[whole], kernel) for channel in windows])


def after(start: float, joiner: Joiner, decoder: Decoder) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The output of `joiner` without the samples before `start` seconds."""
    ahead: int | None = None
    for silence, samples in joiner.join(decoder):
        if ahead is None:
            ahead = to_ticks(start, decoder.rate)
        dropped = min(ahead, silence + samples.shape[1])
        ahead -= dropped
        if dropped < silence + samples.shape[1]:
            yield max(0, silence - dropped), samples[:, max(0, dropped - silence) :]


def merged(tracks: Sequence[Iterator[tuple[int, NDArray[np.float32]]]]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The outputs of several joiners as one, their channels one after the other; a track that ends early is silent."""
    if len(tracks) == 1:
        yield from tracks[0]
        return
    runs = [_Run(track) for track in tracks]
    silence = 0
    while lengths := [run.left for run in runs if run.fill()]:
        step = min(lengths)
        rows = [run.take(step) for run in runs]
        known = next((row for row in rows if row is not None), None)
        if known is None:
            silence += step
            continue
        yield silence, np.concatenate([np.zeros_like(known) if row is None else row for row in rows])
        silence = 0


class _Run:
    """The next silence or samples of one track."""

    def __init__(self, track: Iterator[tuple[int, NDArray[np.float32]]]) -> None:
        self._track = track
        self._silence = 0
        self._samples: NDArray[np.float32] | None = None

    @property
    def left(self) -> int:
        """Samples until this changes; 0 after the end."""
        return self._silence or (0 if self._samples is None else self._samples.shape[1])

    def fill(self) -> bool:
        """Have something, unless the track has ended."""
        while not self.left:
            following = next(self._track, None)
            if following is None:
                return False
            self._silence, self._samples = following
        return True

    def take(self, count: int) -> NDArray[np.float32] | None:
        """The next `count` samples, None for silence."""
        if self._silence:
            self._silence -= count
            return None
        if self._samples is None or not self._samples.shape[1]:
            return None
        taken, self._samples = self._samples[:, :count], self._samples[:, count:]
        return taken


@contextmanager
def opened(path: str | os.PathLike[str], raw_format: str | None = None) -> Iterator[tuple[MediaInfo, list[Decoder]]]:
    """The header of a file, and a decoder for each track of its sound. Raises MediaError without audio."""
    with ExitStack() as files:
        container = files.enter_context(open_media(path, raw_format))
        info, streams = describe(container), audio_streams(container)
        if not streams:
            raise MediaError("no_audio_stream", no_audio(container))
        decoders = [Decoder(container, streams[0])]
        for stream in streams[1:]:
            # a container is read for one decoder at a time: tracks may lie far apart
            other = files.enter_context(open_media(path))
            decoders.append(Decoder(other, other.streams.audio[container.streams.audio.index(stream)]))
        yield info, decoders


def packet_grid(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """(first, step): packets end at sample `first` of the recording and whole steps later, if nothing is missing.

    Needed where the container's clock is coarser than the samples: there a timestamp in the middle of the file is some
    samples off, while reading from the beginning counts samples. None where the clock is finer, or the step unknown.
    """
    with opened(path) as (info, decoders):
        decoder = decoders[0]
        if not decoder.is_coarse:
            return None
        for silence, samples in Joiner(StreamClock(info.zero, info.duration)).join(decoder):
            return (silence + samples.shape[1], decoder.step) if decoder.step else None
    return None
