"""The part of a recipe about contaminants: the weights of their evidence, and the thresholds of their events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le

Probability = Annotated[float, Ge(0), Le(1)]
Seconds = Annotated[float, Ge(0)]
PositiveSeconds = Annotated[float, Gt(0)]


@dataclass(frozen=True)
class ScoreWeight:
    """The weight of a track for a contaminant: weight * (logit(score) - logit(bias)) is added to its log-odds."""

    bias: Annotated[float, Gt(0), Le(0.999)]
    weight: Annotated[float, Gt(0)]
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


@dataclass(frozen=True)
class Suppression:
    """A track's weight against a contaminant: weight * (logit(score) - logit(floor)) is subtracted, if positive."""

    floor: Annotated[float, Gt(0), Le(0.999)]
    weight: Annotated[float, Gt(0)]
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


@dataclass(frozen=True)
class Integrated:
    """Evidence of a track integrated over time: weight * (level - logit(bias) - neutral) is added to the log-odds.

    The level is the mean of the track's log-odds over a `window` of that many seconds around each cell, 0 for the cell
    alone; or over the segment of the recording in which they stay the same, from one change point to the next. Against
    the "recording", it is the rise over the recording's own level of the track, 0 to `Integration.limit`.

    `bias` is the neutral score of a level against "nothing", `neutral` the neutral rise in log-odds.
    """

    track: str
    weight: Annotated[float, Gt(0), Le(100)]
    over: Literal["window", "segment"] = "window"
    window: Annotated[float, Ge(0), Le(3600)] = 0.0
    against: Literal["nothing", "recording"] = "nothing"
    bias: Annotated[float, Gt(0), Le(0.999)] = 0.5
    neutral: Annotated[float, Ge(-20), Le(20)] = 0.0
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if self.over == "segment" and self.window:
            raise ValueError(f"window {self.window} s: a mean over a segment has no window")
        if self.against == "nothing" and self.neutral:
            raise ValueError(f"neutral {self.neutral} is for evidence against the recording: name a bias")
        if self.against == "recording" and self.bias != 0.5:
            raise ValueError(f"bias {self.bias} is for evidence against nothing: name a neutral rise, in log-odds")

    @property
    def relative(self) -> bool:
        """True if the level depends on the whole recording: more score can be less evidence elsewhere."""
        return self.over == "segment" or self.against == "recording"

    @property
    def measured(self) -> tuple[str, str, float, str]:
        """The parameters of the level, without those that weigh it."""
        return self.track, self.over, self.window, self.against


@dataclass(frozen=True)
class Contaminant:
    """The parameters by which one contaminant is fused, detected and kept out of cuts.

    `evidence` and `suppressed_by` map "detector.label" to their weights; their log-odds are averaged over `smoothing`
    seconds. `prior` and the `integrated` evidence are added to that. An event begins where the probability reaches
    `onset` and lasts while it is at least `offset`. Events at most `merge_gap` seconds apart are merged; those under
    `min_duration` seconds are dropped. An event that reaches `reject_threshold` is cut away with `padding` seconds
    around it. All other time that reaches `review_threshold` must be reviewed by a person, with `review_padding`
    seconds around it.
    """

    smoothing: Seconds
    onset: Probability
    offset: Probability
    min_duration: Seconds
    merge_gap: Seconds
    reject_threshold: Probability
    padding: Seconds
    review_threshold: Probability
    review_padding: Seconds
    evidence: Mapping[str, ScoreWeight]
    suppressed_by: Mapping[str, Suppression]
    prior: Annotated[float, Ge(-100), Le(100)] = 0.0
    integrated: tuple[Integrated, ...] = ()
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if not max(self.offset, self.review_threshold) <= self.onset <= self.reject_threshold:
            raise ValueError(
                f"onset {self.onset} must be at least offset {self.offset} and review_threshold "
                f"{self.review_threshold}, and at most reject_threshold {self.reject_threshold}"
            )
        if not self.evidence and not self.integrated:
            raise ValueError("evidence or integrated must name at least one track")
        levels = [one.measured for one in self.integrated]
        if twice := next((level for level in levels if levels.count(level) > 1), None):
            raise ValueError(f"integrated names the same level of {twice[0]} twice")

    @property
    def tracks(self) -> tuple[str, ...]:
        """The tracks that its log-odds depend on, each once."""
        integrated = (one.track for one in self.integrated)
        return tuple(dict.fromkeys((*self.evidence, *self.suppressed_by, *integrated)))
