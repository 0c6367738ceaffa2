"""One decode, all detectors: the scores of a recording from a single pass over its sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from manifests.scores import FrameScores, concatenate

from .detectors import Blocker, Detector, open_detector
from .detectors.level import Level
from .media import AudioBlock, audio_blocks

BLOCK_SECONDS = 5


class Scorer:
    """The named detectors, opened once; `score` runs all of them over one file in one pass."""

    def __init__(self, names: Sequence[str]) -> None:
        self._detectors: dict[str, Any] = {name: open_detector(name) for name in names}

    def score(self, path: Path, progress: Callable[[float], None] | None = None) -> tuple[dict[str, FrameScores], bool]:
        """Scores by detector name, pooled to the stored rate, and whether some of the sound could not be decoded.

        `progress` is told the seconds done so far. Raises MediaError when nothing can be decoded.
        """
        lanes = {name: _lane(detector) for name, detector in self._detectors.items()}
        rates = sorted({d.spec.sample_rate for d in self._detectors.values() if d.spec.sample_rate})
        damaged, silent_until = False, 0.0
        for block in audio_blocks(path, rates, BLOCK_SECONDS):
            for start, end in block.gaps:
                if start <= silent_until:
                    silent_until = end  # the sound has not begun yet
                else:
                    damaged = True  # demuxers skip much damage without an error
            damaged = damaged or block.errors > 0
            for lane in lanes.values():
                lane.push(block)
            if progress:
                progress(block.start + block.native.shape[1] / block.native_rate)
        # one lane after the other is let go: a long recording would else be held twice over
        return {name: lanes.pop(name).finish() for name in list(lanes)}, damaged


class _BlockLane:
    """Feeds a detector that hears mono blocks of its own plan."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._rate = detector.spec.sample_rate or 0
        self._blocker = Blocker(detector.spec.plan, self._rate)
        self._parts: list[FrameScores] = []

    def push(self, block: AudioBlock) -> None:
        self._score(self._blocker.push(block.mono[self._rate]))

    def finish(self) -> FrameScores:
        self._score(self._blocker.finish())
        return concatenate(self._parts)

    def _score(self, blocks: Iterator[Any]) -> None:
        # pooled block by block: a plan's core holds whole pooled frames, and the raw ones never add up
        self._parts += [self._detector.scores(block).pooled() for block in blocks]


class _NativeLane:
    """Feeds `level`, which hears the recording's own samples."""

    def __init__(self, level: Level) -> None:
        self._level = level
        self._parts: list[FrameScores] = []

    def push(self, block: AudioBlock) -> None:
        self._parts.append(self._level.scores(block.native, block.native_rate, block.start, block.gaps))

    def finish(self) -> FrameScores:
        return concatenate(self._parts).pooled()


def _lane(detector: Any) -> _BlockLane | _NativeLane:
    return _NativeLane(detector) if detector.spec.sample_rate is None else _BlockLane(detector)
