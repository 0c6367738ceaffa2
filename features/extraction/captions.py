"""Captions of cuts: an annotator's if there is one, else the strongest tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from curation.detectors import audioset, yamnet
from manifests.annotations import age
from manifests.identity import digest
from manifests.records import Annotation
from manifests.scores import FrameScores
from manifests.time import Segment

CaptionSource = Literal["human", "tags", "none"]
MOST_TAGS = 3
LEAST_SCORE = 0.05  # of a tag, mean over a cut
LEAST_SHARE = 0.5  # of a cut that an annotation must cover for its caption to apply
_PURE = ("speech", "singing", "music", "silence")  # an accepted cut has none of these


class Caption(NamedTuple):
    """The text and its source."""

    text: str
    source: CaptionSource

    @property
    def text_id(self) -> str:
        """The id of the text's features, 16 hex digits: equal texts share one."""
        return digest("text", self.text)


def caption(cut: Segment, annotations: Iterable[Annotation], scores: Mapping[str, FrameScores]) -> Caption:
    """The caption of a cut; `annotations` (those that count) and `scores` are those of its recording.

    The annotation that covers most of the cut counts, then the latest. Without one, the three strongest tags count.
    """
    written = [row for row in annotations if row.caption and row.caption.strip()]
    overlaps = [(_shared(cut, row.segment), age(row), row) for row in written]
    overlaps = [entry for entry in overlaps if entry[0] >= LEAST_SHARE * cut.duration]
    if overlaps:
        best = max(overlaps, key=lambda entry: entry[:2])[2]
        return Caption(" ".join(str(best.caption).split()), "human")
    tags = top_tags(cut, scores)
    return Caption(", ".join(tags), "tags") if tags else Caption("", "none")


def top_tags(cut: Segment, scores: Mapping[str, FrameScores]) -> Sequence[str]:
    """The names of the strongest classes over a cut, the strongest first; all taggers have equal weight."""
    means: dict[str, float] = {}
    taggers = 0
    for name, frames in scores.items():
        if frames.tags is None:
            continue
        tags = frames.tags
        first = max(0, int((cut.start - frames.start) / tags.hop))
        last = max(first + 1, int(np.ceil((cut.end - frames.start) / tags.hop)))
        ids, values = tags.ids[first:last].ravel(), tags.scores[first:last].astype(np.float64).ravel()
        frames_scored = int(np.isfinite(tags.scores[first:last]).any(axis=1).sum()) if len(ids) else 0
        if not frames_scored:
            continue
        taggers += 1
        names, pure = _classes(name)
        for index in np.unique(ids[np.isfinite(values)]):
            if not pure[index]:
                mean = float(values[(ids == index) & np.isfinite(values)].sum()) / frames_scored
                means[names[index]] = means.get(names[index], 0.0) + mean
    strong = [(-total / taggers, name) for name, total in means.items() if total / taggers >= LEAST_SCORE]
    return [name for _, name in sorted(strong)[:MOST_TAGS]]


def _classes(tagger: str) -> tuple[tuple[str, ...], np.typing.NDArray[np.bool_]]:
    """The names of a tagger's classes, and a mask of those that a pure cut does not have."""
    module = yamnet if tagger == "yamnet" else audioset
    names = module.class_names()
    pure = np.zeros(len(names), np.bool_)
    for group in _PURE:
        for first, last in module.GROUPS[group]:
            pure[first : last + 1] = True
    return names, pure


def _shared(cut: Segment, other: Segment) -> float:
    both = cut.intersection(other)
    return both.duration if both else 0.0
