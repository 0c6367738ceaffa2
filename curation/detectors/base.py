"""The detector interface: scores over fixed blocks with fixed context, so that reading never changes the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from manifests.identity import digest
from manifests.scores import FrameScores

if TYPE_CHECKING:
    from ..media import AudioBlock


@dataclass(frozen=True)
class BlockPlan:
    """Division of audio into blocks, in samples at the detector's rate: a core, and its context on each side."""

    core: int
    left: int = 0
    right: int = 0


@dataclass(frozen=True)
class DetectorSpec:
    """All settings that determine a detector's scores; the base of their cache key.

    `sample_rate` None means the recording's own rate and channels. `hop` and `window` are seconds, before pooling.
    `stateless`: each block can be scored independently; False if the detector keeps state between blocks.
    """

    name: str
    version: str
    sample_rate: int | None
    labels: tuple[str, ...]
    hop: float
    window: float
    plan: BlockPlan
    stateless: bool = True

    def key(self, recording_id: str) -> str:
        """Content key of this detector's scores of one recording, 16 hex digits."""
        return digest("scores", recording_id, _decisive(self))


@lru_cache(64)
def _decisive(spec: DetectorSpec) -> Mapping[str, Any]:
    """The settings as the key has them."""
    decisive = asdict(spec)
    decisive["apart"] = decisive.pop("stateless")  # its name when the first scores were stored
    return decisive


@dataclass(frozen=True, eq=False)
class Block:
    """Mono samples float32 (left + core + right,) at `sample_rate`; the core starts at sample `start` of the recording.

    At the ends of a recording there is less context: `left` and `right` give its length in samples.
    """

    samples: NDArray[np.float32]
    sample_rate: int
    start: int
    left: int
    right: int
    first: bool
    last: bool

    @property
    def core(self) -> int:
        """Samples of the core."""
        return len(self.samples) - self.left - self.right


class Detector(Protocol):
    """A detector of mono audio: opened once per worker; called with the blocks of one recording in order."""

    @property
    def spec(self) -> DetectorSpec:
        """Identity of this detector."""
        ...

    def scores(self, block: Block) -> FrameScores:
        """The frames that begin inside the block's core."""
        ...


class NativeDetector(Protocol):
    """A detector of a recording's own samples and channels: takes block after block, returns its scores at the end."""

    @property
    def spec(self) -> DetectorSpec:
        """Identity of this detector."""
        ...

    def begin(self) -> None:
        """Start a new recording."""
        ...

    def scores(self, block: AudioBlock) -> None:
        """Process the next block."""
        ...

    def finish(self) -> FrameScores | None:
        """The scores since `begin`, None without audio."""
        ...


class Blocker:
    """Converts a stream of samples, in pieces of any size, to the blocks of a plan."""

    def __init__(self, plan: BlockPlan, sample_rate: int) -> None:
        self._plan, self._rate = plan, sample_rate
        self._held: NDArray[np.float32] = np.zeros(0, np.float32)  # from `_origin` on
        self._origin = 0
        self._next = 0  # first sample of the next core

    def push(self, samples: NDArray[np.float32]) -> Iterator[Block]:
        """Add samples; yield every block whose core and right context are complete."""
        self._held = np.concatenate([self._held, samples]) if len(self._held) else samples
        # strictly more than enough: only audio after a block proves that it is not the last
        while self._origin + len(self._held) > self._next + self._plan.core + self._plan.right:
            yield self._take(self._next + self._plan.core, last=False)

    def finish(self) -> Iterator[Block]:
        """Yield the remaining blocks; nothing for a stream without samples."""
        end = self._origin + len(self._held)
        while end > self._next:
            core_end = min(self._next + self._plan.core, end)
            yield self._take(core_end, last=core_end == end)

    def _take(self, core_end: int, *, last: bool) -> Block:
        left = min(self._plan.left, self._next)
        right = min(self._plan.right, self._origin + len(self._held) - core_end)
        samples = self._held[self._next - left - self._origin : core_end + right - self._origin]
        block = Block(samples, self._rate, self._next, left, right, first=self._next == 0, last=last)
        self._next = core_end
        keep_from = max(core_end - self._plan.left, 0)
        self._held = self._held[keep_from - self._origin :]
        self._origin = keep_from
        return block
