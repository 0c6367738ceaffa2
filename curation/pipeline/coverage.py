"""The work between scoring and deciding: what is open is heard, what survives on its sound is looked at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from manifests.recipe import Recipe
from manifests.records import Recording
from manifests.store import Corpus
from manifests.time import Timeline
from manifests.uris import resolve

from ..decision.cascade import pending_time, rejected_seconds
from ..decision.fusion import scored_seconds
from ..detectors import ModelSetup
from ..detectors.score_store import load_scores, scores_path
from ..runner import Item
from ..runner.ledgered import LedgeredRunner
from ..runner.progress import StepCallback, teller
from .commit import Entries
from .stages import Deepen, Look, Score

STALL_SECONDS = 600.0  # without a sign of life, then a worker counts as hanging
# statuses of recordings that have sound to score, as far as is known
SOUND = frozenset({"ok", "truncated", "damaged", "quarantined"})


@dataclass(frozen=True)
class Need:
    """Seconds that a detector has yet to hear under a recipe, in how many recordings."""

    seconds: float
    recordings: int


NeedsCallback = Callable[[Mapping[str, Need]], None]


@dataclass(frozen=True)
class CascadeAccount:
    """What a cascade saved: `rejected` of `duration` seconds needed no more than the detectors that hear everything.

    `heard`: seconds that each detector of the cascade heard.
    """

    duration: float
    rejected: float
    heard: Mapping[str, float]


def with_sound(corpus: Corpus, recordings: Iterable[Recording]) -> tuple[list[tuple[Recording, str]], dict[str, str]]:
    """(recording, path) of those that have sound to hear, the longest first, and what lies outside its root, with why.

    The last to end is then a short one.
    """
    roots, located, outside = corpus.roots, [], {}
    for row in sorted(recordings, key=lambda row: (-(row.duration or 0.0), row.recording_id)):
        if row.duration and row.status in SOUND:
            try:
                located.append((row, os.fspath(resolve(row.uri, roots))))
            except ValueError as error:
                outside[row.recording_id] = str(error)
    return located, outside


@dataclass(frozen=True)
class Hearing:
    """A recipe over a corpus: what it still has to hear and to see before it can decide."""

    corpus: Corpus
    recipe: Recipe
    setup: ModelSetup
    log: LedgeredRunner
    on_step: StepCallback | None = None
    on_needs: NeedsCallback | None = None

    def score_missing(self, entries: Entries) -> None:
        """Let the detectors that hear everything hear the recordings that they have not heard, where there is media.

        What goes wrong is no verdict over a recording: it stays as it was, and unscored.
        """
        stage = Score(self.corpus.path, self.recipe.detectors, self.setup)
        items, needs = [], _Needs()
        for row, path in self._undropped(entries):
            if not stage.complete(row.recording_id) and os.path.exists(path):
                item = stage.item(row, path)
                items.append((item.key, row.recording_id, item))
                for name in stage.missing(row.recording_id):
                    needs.add(name, item.weight)
        self._tell(needs)
        self._carry_out(stage, "score", items, entries)

    def deepen(self, entries: Entries, copied: Mapping[str, Timeline]) -> CascadeAccount | None:
        """Let detectors hear what is open; returns what the cascade saved, None for a recipe without one.

        Without one there may still be something open: what an earlier recipe's cascade left unheard.
        """
        stage = Deepen(self.corpus.path, self.recipe, self.setup)
        recordings = self._undropped(entries)
        items, needs, duration, rejected = [], _Needs(), 0.0, 0.0
        for row, path in recordings:
            time, lasts = copied.get(row.recording_id, Timeline.EMPTY), row.duration or 0.0
            scores = self._scores(row.recording_id)
            if any(name not in scores for name in self.recipe.detectors):
                continue  # the decision says so
            if self.recipe.cascade:
                duration += lasts
                rejected += rejected_seconds(scores, self.recipe, lasts, time)
            missing = pending_time(scores, self.recipe, lasts, time)
            if missing and os.path.exists(path):
                key = stage.key(row.recording_id, missing)
                payload = (row.recording_id, path, lasts, time.ms_pairs())
                items.append((key, row.recording_id, Item(key, payload, lasts)))
                for name, timeline in missing.items():
                    needs.add(name, timeline.duration)
        self._tell(needs)
        self._carry_out(stage, "deepen", items, entries)
        if not self.recipe.cascade:
            return None
        heard = dict.fromkeys(self.recipe.cascade, 0.0)
        for row, _ in recordings:
            scores = self._scores(row.recording_id)
            for name in self.recipe.cascade:
                heard[name] += scored_seconds(scores.get(name))
        return CascadeAccount(duration, rejected, heard)

    def look(self, entries: Entries, copied: Mapping[str, Timeline]) -> None:
        """Look at the picture where cuts survive, if the recipe says so."""
        if not self.recipe.video_analysis:
            return
        stage = Look(self.corpus.path, self.recipe, self.setup)
        items = []
        for row, path in self._undropped(entries):
            if row.has_video and os.path.exists(path) and self._heard(row.recording_id):
                time = copied.get(row.recording_id, Timeline.EMPTY)
                key = stage.key(row.recording_id, time)
                item = Item(key, (asdict(row), path, time.ms_pairs()), row.duration or 0.0)
                items.append((key, row.recording_id, item))
        self._carry_out(stage, "look", items, entries, still_kept=stage.complete)

    def _undropped(self, entries: Entries) -> list[tuple[Recording, str]]:
        dropped = {row.item for row in entries.drops if row.item_kind == "recording"}
        located, _ = with_sound(self.corpus, entries.recordings.values())
        return [(row, path) for row, path in located if row.recording_id not in dropped]

    def _scores(self, recording_id: str) -> Mapping[str, Any]:
        try:
            return load_scores(self.corpus, recording_id, self.recipe.all_detectors, self.setup)
        except ValueError:
            return {}  # the decision says so

    def _heard(self, recording_id: str) -> bool:
        return scores_path(self.corpus, recording_id, "level", self.setup).exists()

    def _tell(self, needs: _Needs) -> None:
        if self.on_needs and needs.totals:
            self.on_needs(needs.totals)

    def _carry_out(
        self,
        stage: Any,
        phase: str,
        items: Sequence[tuple[str, str, Item]],
        entries: Entries,
        still_kept: Callable[[str], bool] = lambda _: False,
    ) -> dict[str, dict[str, Any]]:
        """Carry out a stage; without `still_kept`, whatever is asked for is needed, whatever the ledger says."""
        if not items:
            return {}
        shown = {row.recording_id: row.uri for row in entries.recordings.values()}
        told = teller(phase, "seconds", items, shown, self.on_step)
        return self.log.carry_out(stage, items, told, stall_seconds=STALL_SECONDS, still_kept=still_kept)


class _Needs:
    """Adds up what detectors have to hear."""

    def __init__(self) -> None:
        self.totals: dict[str, Need] = {}

    def add(self, detector: str, seconds: float) -> None:
        known = self.totals.get(detector, Need(0.0, 0))
        self.totals[detector] = Need(known.seconds + seconds, known.recordings + 1)
