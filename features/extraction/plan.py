"""Plan an extraction: the accepted cuts, each with its caption, its split and its media file."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow.compute as pc

from curation.detectors import ModelSetup
from curation.detectors.score_store import load_scores
from curation.release.splits import Split, family, split_of
from manifests.annotations import counted
from manifests.errors import Problem
from manifests.recipe import Recipe
from manifests.records import Annotation, Cut, Duplicate, Recording, Source
from manifests.schema import CorpusError
from manifests.store import Corpus
from manifests.time import Timeline
from manifests.uris import resolve

from ..encoders.base import CLIP_SECONDS
from .captions import Caption, caption

LEAST_SHARE = 0.5  # of a cut that the cuts of a kept recording contain too: then it is a duplicate


@dataclass(frozen=True)
class PlannedCut:
    """An accepted cut; `problem`: the reason if it cannot be extracted."""

    cut: Cut
    recording: Recording
    path: str
    caption: Caption
    split: Split
    problem: Problem | None = None

    @property
    def seconds(self) -> float:
        """Duration of the cut."""
        return self.cut.segment.duration


def planned_cuts(corpus: Corpus, recipe: Recipe, setup: ModelSetup) -> list[PlannedCut]:
    """Every accepted cut of the corpus, by recording and time. Raises CorpusError for one of an unknown recording."""
    cuts: list[Cut] = sorted(
        corpus.rows(Cut, pc.field("decision") == "accept"), key=lambda cut: (cut.recording_id, cut.start)
    )
    ids = {cut.recording_id for cut in cuts}
    recordings = {row.recording_id: row for row in corpus.rows(Recording) if row.recording_id in ids}
    copies = list(corpus.rows(Duplicate))
    families = family(ids, copies, corpus.rows(Source))
    annotations: dict[str, list[Annotation]] = defaultdict(list)
    for row in counted(corpus.rows(Annotation)).answers:
        annotations[row.recording_id].append(row)
    twins = dict(_twins(cuts, copies))
    roots = corpus.roots
    wanted = []
    for recording_id, own in _by_recording(cuts):
        recording = recordings.get(recording_id)
        if recording is None:
            raise CorpusError(
                f"{corpus.path}: recording {recording_id} has cuts, but is not in the table recordings: restore it "
                "from a backup, or run lpse curate with all sources"
            )
        scores = load_scores(corpus, recording_id, recipe.all_detectors, setup)
        try:
            path, outside = os.fspath(resolve(recording.uri, roots)), None
        except ValueError as error:
            path, outside = "", Problem("outside_root", str(error))
        for cut in own:
            problem = outside
            if cut.segment.duration < CLIP_SECONDS:
                problem = Problem("too_short", f"{cut.segment.duration:.3f} s, a clip lasts {CLIP_SECONDS} s")
            elif cut.cut_id in twins:
                problem = Problem("duplicate", f"the same as cuts of recording {twins[cut.cut_id]}")
            words = caption(cut.segment, annotations[recording_id], scores)
            wanted.append(PlannedCut(cut, recording, path, words, split_of(families, recording_id), problem))
    return wanted


def _by_recording(cuts: Sequence[Cut]) -> Iterator[tuple[str, list[Cut]]]:
    own: dict[str, list[Cut]] = {}
    for cut in cuts:
        own.setdefault(cut.recording_id, []).append(cut)
    yield from own.items()


def _twins(cuts: Sequence[Cut], copies: Sequence[Duplicate]) -> Iterator[tuple[str, str]]:
    """Yield (cut, kept recording) for cuts that another recording's cuts contain too, if the recipe keeps copies."""
    accepted: Mapping[str, Timeline] = {
        recording: Timeline(cut.segment for cut in own) for recording, own in _by_recording(cuts)
    }
    for copy in copies:
        kept = accepted.get(copy.kept_id)
        for cut in cuts if kept else ():
            shared = cut.segment.intersection(copy.segment) if cut.recording_id == copy.recording_id else None
            if shared is None or kept is None:
                continue
            again = kept & Timeline([shared]).shift(copy.offset)
            if again.duration >= LEAST_SHARE * cut.segment.duration:
                yield cut.cut_id, copy.kept_id
