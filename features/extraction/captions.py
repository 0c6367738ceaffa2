"""What a cut is said to sound like: in a listener's words where there are any, else in the taggers'."""

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
LEAST_SCORE = 0.05  # of a tag, as the mean over a cut
LEAST_SHARE = 0.5  # of a cut that a listener heard, for their words to stand for it
_PURE = ("speech", "singing", "music", "silence")  # the cut was accepted as being without these


class Caption(NamedTuple):
    """The words and whose they are."""

    text: str
    source: CaptionSource

    @property
    def text_id(self) -> str:
        """The name of the words' features, 16 hex: equal words have one."""
        return digest("text", self.text)


def caption(cut: Segment, annotations: Iterable[Annotation], scores: Mapping[str, FrameScores]) -> Caption:
    """The caption of a cut; `annotations` (those that count) and `scores` are those of its recording.

    Of listeners, the one who heard most of it counts, then the latest. Of tags, the strongest three.
    """
    written = [row for row in annotations if row.caption and row.caption.strip()]
    heard = [(_shared(cut, row.segment), age(row), row) for row in written]
    heard = [entry for entry in heard if entry[0] >= LEAST_SHARE * cut.duration]
    if heard:
        best = max(heard, key=lambda entry: entry[:2])[2]
        return Caption(" ".join(str(best.caption).split()), "human")
    tags = top_tags(cut, scores)
    return Caption(", ".join(tags), "tags") if tags else Caption("", "none")


def top_tags(cut: Segment, scores: Mapping[str, FrameScores]) -> Sequence[str]:
    """The names of the strongest classes over a cut, the strongest first; all taggers count alike."""
    means: dict[str, float] = {}
    taggers = 0
    for name, frames in scores.items():
        if frames.tags is None:
            continue
        tags = frames.tags
        first = max(0, int((cut.start - frames.start) / tags.hop))
        last = max(first + 1, int(np.ceil((cut.end - frames.start) / tags.hop)))
        ids, values = tags.ids[first:last].ravel(), tags.scores[first:last].astype(np.float64).ravel()
        frames_heard = int(np.isfinite(tags.scores[first:last]).any(axis=1).sum()) if len(ids) else 0
        if not frames_heard:
            continue
        taggers += 1
        names, pure = _classes(name)
        for index in np.unique(ids[np.isfinite(values)]):
            if not pure[index]:
                mean = float(values[(ids == index) & np.isfinite(values)].sum()) / frames_heard
                means[names[index]] = means.get(names[index], 0.0) + mean
    strong = [(-total / taggers, name) for name, total in means.items() if total / taggers >= LEAST_SCORE]
    return [name for _, name in sorted(strong)[:MOST_TAGS]]


def _classes(tagger: str) -> tuple[tuple[str, ...], np.typing.NDArray[np.bool_]]:
    """The names of a tagger's classes, and which of them a pure cut is without."""
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
