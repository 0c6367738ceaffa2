"""The run over a corpus: find the files, identify them, score the audio, settle every recording, commit.

Slow work is stored as it is finished (the ledger and the score files), so a run that was stopped continues where it
was. Decisions are computed completely from stored data, so the tables of a run that was stopped equal those of one that
was not, byte for byte.
"""

from __future__ import annotations

import logging
import os
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from manifests.errors import Problem
from manifests.files import data_bytes
from manifests.healing import report_healed
from manifests.identity import source_id
from manifests.ledger import Ledger
from manifests.recipe import Recipe
from manifests.records import Recording
from manifests.shards import recordings_with
from manifests.store import Corpus
from manifests.time import Timeline

from ..decision.human_evidence import NO_EVIDENCE, load_evidence
from ..decision.spans import is_too_short
from ..detectors import ModelSetup, ModelUnavailable, prepare, spec
from ..detectors.score_store import setup_of
from ..duplicates.corpus_index import Copies, find_copies
from ..ingest.folders import Found, discover
from ..runner import Item, ItemResult, ProgressCallback, Runner, default_workers, run_local
from ..runner.ledgered import (
    STALL_SECONDS,
    TRANSIENT,
    LedgeredRunner,
    Recorder,
    failed_problem,
    failure,
    ledger_row,
    refuse_full_disk,
)
from .commit import commit, join
from .coverage import Needs, with_audio
from .entries import Entries, entries_with, orphaned_recordings, problem_drop, stored_entries
from .result import CurationResult, result_of
from .settle import CASCADE, VIDEO, Request, Settle, Settled, settled_too_short, undecided
from .stages import PRINT, Flaw, Identified, Identify, Score, Scored

logger = logging.getLogger(__name__)
READ_TABLES = ("sources", "recordings", "annotations", "verdicts")
"""The tables that a run reads and cannot make again."""
SLOWEST_BYTES_PER_SECOND = 5e6


def check_detectors(recipe: Recipe, corpus: Corpus | None) -> ModelSetup:
    """The models of the recipe's detectors, with the fits of `corpus` (None: a corpus that does not exist yet).

    Raises ModelUnavailable, before any work, for a detector that cannot run here, and for one in the cascade that
    cannot score parts of a recording. Nothing is written.
    """
    setup = setup_of(corpus, recipe)
    for name in recipe.all_detectors:
        one = spec(name, setup)
        if name in recipe.cascade and not one.stateless:
            raise ModelUnavailable(f"{name} scores whole recordings only: name it in detectors, not in cascade")
    return setup


def curate(
    corpus: Corpus,
    sources: Sequence[str | Path],
    recipe: Recipe,
    *,
    workers: int | None = None,
    retry: bool = False,
    on_progress: ProgressCallback | None = None,
    runner: Runner = run_local,
) -> CurationResult:
    """Add `sources` (files, folders) to the corpus and decide over all of it under `recipe`.

    `workers` None: one per core. `retry`: try files again that crashed their worker in an earlier run. `runner` carries
    out the stages. Raises SourceNotFound, ModelUnavailable, Locked; a fault of a single file becomes a row instead.
    """
    with corpus.lock("curate"):
        ledgered = LedgeredRunner(Ledger(corpus), workers or default_workers(), retry, runner)
        run = _Run.begin(corpus, recipe, on_progress, ledgered)
        found = list(discover(sources, corpus))
        entries = run.score(entries_with(corpus, found, run.identify(found), ledgered.ledger))
        return run.finish(entries, "lpse curate")


def replay(
    corpus: Corpus,
    recipe: Recipe,
    *,
    workers: int | None = None,
    on_progress: ProgressCallback | None = None,
    runner: Runner = run_local,
) -> CurationResult:
    """Decide again over the whole corpus, under `recipe`, from the stored scores.

    Media is read only if the recipe needs time that its detectors have not scored. Time that cannot be scored any more,
    because its media is missing, is never kept.
    """
    with corpus.lock("replay"):
        ledgered = LedgeredRunner(Ledger(corpus), workers or default_workers(), False, runner)
        run = _Run.begin(corpus, recipe, on_progress, ledgered)
        entries = stored_entries(corpus, ledgered.ledger)
        run.score_missing(entries)
        return run.finish(entries, "lpse replay")


def _reading_seconds(found: Found) -> float:
    """Seconds that a file may be read without a sign of life: it is read in one go, perhaps from a slow disk.

    Holes of a file take no time there, and a few bytes can declare terabytes of them.
    """
    if found.signature[0] <= STALL_SECONDS * SLOWEST_BYTES_PER_SECOND:
        return STALL_SECONDS
    return max(STALL_SECONDS, data_bytes(found.path) / SLOWEST_BYTES_PER_SECOND)


@dataclass(frozen=True)
class _Run:
    """One run over a corpus under a recipe; the caller holds the corpus's lock."""

    corpus: Corpus
    recipe: Recipe
    setup: ModelSetup
    runner: LedgeredRunner
    on_progress: ProgressCallback | None
    needs: Needs
    began: float

    @classmethod
    def begin(
        cls, corpus: Corpus, recipe: Recipe, on_progress: ProgressCallback | None, runner: LedgeredRunner
    ) -> _Run:
        """Check the recipe's detectors, make their converted files, and refuse tables that no run makes again.

        Raises Damaged with the file and the cure.
        """
        for name in READ_TABLES:
            corpus.table(name).check()
        setup = check_detectors(recipe, corpus)
        versions = ", ".join(f"{name} {spec(name, setup).version}" for name in recipe.all_detectors)
        logger.info("recipe %s (%s), detectors: %s", recipe.name, recipe.hash, versions)
        for name in recipe.all_detectors:
            prepare(name, setup)
        return cls(corpus, recipe, setup, runner, on_progress, Needs(), time.monotonic())

    def identify(self, found: Sequence[Found]) -> dict[str, Identified]:
        """The identity of every file that can be read, by uri."""
        logger.info("%d files found", len(found))
        stage = Identify()
        files = [one for one in found if one.problem is None]
        keys = {one.uri: stage.key(one.uri, one.signature) for one in files}
        items = [
            Item(
                key=keys[one.uri],
                id=source_id(one.uri),
                payload=(one.uri, os.fspath(one.path)),
                weight=one.signature[0] + 1.0,
                label=one.uri,
                stall_seconds=_reading_seconds(one),
            )
            for one in files
        ]
        results = self.runner.run(stage, items, on_progress=self.on_progress)
        return {uri: results[key] for uri, key in keys.items()}

    def score(self, entries: Entries) -> Entries:
        """Score every recording with audio; its status and drops record the result.

        One that is too short for a cut is not scored, but a result from the ledger counts.
        """
        stage = Score(self.corpus.path, self.recipe.detectors, self.setup)
        recordings = dict(entries.recordings)
        located, outside = with_audio(self.corpus, recordings.values())
        problems = {name: Problem("outside_root", error) for name, error in outside.items()}
        items = [stage.item(row, path) for row, path in located]
        too_short = {item.key for item in items if self._too_short(recordings[item.id])}
        flaws = {item.id: stage.flaws(item.id) for item in items if item.key not in too_short}
        known = self.runner.stored(stage, too_short, lambda name: not stage.flaws(name))
        results = known | self.runner.run(
            stage,
            [item for item in items if item.key not in too_short],
            on_progress=self.on_progress,
            outputs_exist=lambda name: not flaws.get(name),
        )
        items = [item for item in items if item.key in results]
        for item in items:
            result, row = results[item.key], recordings[item.id]
            _report_scored_again(flaws.get(item.id, ()), result)
            status = "ok" if row.status in ("damaged", "quarantined") else row.status
            if result.problem:
                logger.info("%s: %s: %s", item.label, *result.problem)
                problems[item.id] = result.problem
                if failed_problem(result.problem):
                    status = "quarantined"
                elif result.problem.reason not in TRANSIENT:
                    status = "unreadable"
            elif result.damaged:
                status = "damaged"
            recordings[item.id] = replace(row, status=status)
        tried = {item.id for item in items} | problems.keys()
        drops = [row for row in entries.drops if row.stage != "score" or row.item not in tried]
        drops += [problem_drop("recording", name, "score", problem) for name, problem in problems.items()]
        return Entries(entries.sources, recordings, drops)

    def score_missing(self, entries: Entries, damaged: Collection[str] = ()) -> None:
        """Score recordings whose scores are missing or damaged, if their media exists and they are long enough.

        `damaged`: those whose scores were found damaged when they were loaded. After a failure the recording stays as
        it was, and unscored.
        """
        stage = Score(self.corpus.path, self.recipe.detectors, self.setup)
        items, found = [], {}
        wanted = (set(damaged) or entries.recordings.keys()) - entries.dropped
        rows = (row for row in entries.recordings.values() if row.recording_id in wanted and not self._too_short(row))
        for row, path in with_audio(self.corpus, rows)[0]:
            flaws = stage.flaws(row.recording_id, read_scores=row.recording_id in damaged)
            if flaws and os.path.exists(path):
                items.append(stage.item(row, path))
                found[row.recording_id] = flaws
                for name in (flaw.maker for flaw in flaws if flaw.maker != PRINT):
                    self.needs.add(name, row.duration or 0.0)
            else:
                _report_scored_again(flaws, Scored(problem=Problem("vanished", "its media is missing")))
        if items:
            results = self.runner.run(stage, items, on_progress=self.on_progress, outputs_exist=lambda _: False)
            for item in items:
                _report_scored_again(found[item.id], results[item.key])

    def finish(self, entries: Entries, command: str) -> CurationResult:
        """Settle every recording and write the tables."""
        gone = {row.item for row in orphaned_recordings(entries)}
        present = {key: row for key, row in entries.recordings.items() if key not in gone}
        copies = find_copies(self.corpus, present, self.recipe.duplicates, "audio")
        wanted = present.keys() - entries.dropped - copies.problems.keys()
        settled = self._settle(entries, wanted, copies)
        if damaged := [name for name, one in settled.items() if one.scores_damaged]:
            self.score_missing(entries, damaged)
            settled |= self._settle(entries, damaged, copies)
        by_picture = find_copies(self.corpus, present, self.recipe.duplicates, "picture")
        copies = copies | by_picture
        settled = {name: one for name, one in settled.items() if name not in copies.problems}
        wanted = wanted - copies.problems.keys()
        # only where copies of the video are cut away does the decision change
        again = wanted & {name for name, time in by_picture.cut_away.items() if time}
        if again:
            # keep the cascade's account of the first pass, in which only copies of the audio were known
            settled |= {
                name: replace(one, cascade=settled[name].cascade)
                for name, one in self._settle(entries, again, copies).items()
            }
        tables = join(self.corpus, entries, copies, settled.values())
        logger.info("%d recordings decided, %d cuts; writing the tables", len(settled), tables.cuts.num_rows)
        commit(self.corpus, self.recipe, entries, copies, tables, command)
        self.runner.ledger.compact()
        scored, seconds = dict(self.needs.totals), time.monotonic() - self.began
        return result_of(self.recipe, tables, copies.rows, settled, scored, seconds)

    def _settle(self, entries: Entries, wanted: Collection[str], copies: Copies) -> dict[str, Settled]:
        """The decisions over the `wanted` recordings, by id; reads of their media are recorded in the ledger."""
        stage = Settle(self.corpus.path, self.recipe, self.setup)
        people, failed, crashed = load_evidence(self.corpus), self._failed_media(), self._crashed(stage)
        scored = recordings_with(self.corpus, "scores")

        def request(row: Recording, path: str | None) -> Request:
            name = row.recording_id
            return Request(
                recording=row,
                path=path,
                copied=copies.cut_away.get(name, Timeline.EMPTY),
                people=people.get(name, NO_EVIDENCE),
                failed=failed[name],
            )

        settled: dict[str, Settled] = {}
        rows = []
        for name in wanted:
            row = entries.recordings[name]
            if name not in scored and self._too_short(row):  # decided here: there is nothing to read
                settled[name] = settled_too_short(request(row, None), self.recipe)
            else:
                rows.append(row)
        paths = {row.recording_id: path for row, path in with_audio(self.corpus, rows)[0] if os.path.exists(path)}
        items = []
        for row in sorted(rows, key=lambda row: (-(row.duration or 0.0), row.recording_id)):
            key = stage.key(row.recording_id)
            path = None if key in crashed else paths.get(row.recording_id)
            items.append(Item(key, row.recording_id, request(row, path), row.duration or 0.0, row.uri))
        # a recording that crashed its worker is decided without its media, from stored scores
        without_media: list[Item[Request]] = []
        for some in (items, without_media):
            for ended in self._ended(stage, some):
                if (problem := failure(ended)) is None:
                    assert ended.value is not None
                    settled[ended.item.id] = ended.value
                elif ended.item.payload.path is not None:
                    without_media.append(replace(ended.item, payload=replace(ended.item.payload, path=None)))
                else:
                    settled[ended.item.id] = undecided(ended.item.payload.recording, problem, self.recipe)
        return settled

    def _ended(self, stage: Settle, items: Sequence[Item[Request]]) -> Sequence[ItemResult[Request, Settled]]:
        results = []
        if items:
            workers = min(self.runner.workers, len(items))
            finished = self.runner.runner(
                stage, items, workers=workers, stall_seconds=STALL_SECONDS, on_progress=self.on_progress
            )
            with closing(finished), Recorder(self.runner.ledger) as recorder:
                for ended in finished:
                    self._record(ended, stage, recorder)
                    results.append(ended)
        return results

    def _record(self, ended: ItemResult[Request, Settled], stage: Settle, recorder: Recorder) -> None:
        """Record in the ledger the reads of the media, and a crash."""
        refuse_full_disk(ended)
        if problem := failure(ended):
            logger.warning("%s: %s: %s", ended.item.label, *problem)
            recorder.add(ledger_row(stage.name, ended, {"problem": problem}))
            return
        assert ended.value is not None
        if ended.value.unavailable:
            raise ModelUnavailable(ended.value.unavailable)
        for path, damage in ended.value.healed:
            report_healed(Path(path), damage, "not used; its time is scored again where the media exists")
        for work in ended.value.media:
            values = {"scored": work.scored, "problem": work.problem}
            recorder.add(ledger_row(work.stage, ended, values, key=work.key))
            if work.stage == CASCADE:
                for name, seconds in work.scored.items():
                    self.needs.add(name, seconds)

    def _failed_media(self) -> Mapping[str, frozenset[str]]:
        """By recording, the keys of media work that failed and is not tried again."""
        failed: dict[str, frozenset[str]] = defaultdict(frozenset)
        for stage in (CASCADE, VIDEO):
            for key, row in self.runner.ledger.latest(stage).items():
                if row.outcome != "done" and self.runner.is_final(row):
                    failed[row.item] |= {key}
        return failed

    def _crashed(self, stage: Settle) -> frozenset[str]:
        """The keys of recordings whose worker crashed while it settled them."""
        latest = self.runner.ledger.latest(stage.name).items()
        return frozenset(key for key, row in latest if self.runner.is_final(row))

    def _too_short(self, row: Recording) -> bool:
        return row.duration is not None and is_too_short(row.duration, self.recipe.spans.min_duration)


def _report_scored_again(flaws: Sequence[Flaw], result: Scored) -> None:
    """Report the damaged files of a recording, and what became of them."""
    for flaw in flaws:
        if flaw.damaged:
            failed = f"cannot be made again: {': '.join(result.problem)}" if result.problem else ""
            report_healed(flaw.path, f"damaged: {flaw.problem}", failed or "made again from the media")
