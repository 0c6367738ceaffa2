"""Extraction: encode every accepted cut into a feature cache, once.

A finished cut stays staged until it is moved into a part. Cuts in the ledger or in parts are not encoded again, so a
run that was stopped resumes and ends with the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import torch

from curation.detectors.score_store import setup_of
from curation.media import MediaError
from curation.runner import Item, Progress, ProgressCallback, ShareCallback, default_workers
from curation.runner.ledgered import LedgeredRunner, problem_of
from manifests.commits import Commit
from manifests.errors import Problem
from manifests.identity import digest
from manifests.ledger import Ledger
from manifests.recipe import Recipe
from manifests.records import Drop
from manifests.schema import CorpusError
from manifests.store import Corpus

from ..cache import (
    CacheError,
    CacheSpec,
    IndexRow,
    add_texts,
    commit,
    create,
    remove_leftovers,
    stage,
    staged,
    stored,
    stored_texts,
    write_index,
)
from ..cache.index import find_cuts, read_index
from ..cache.of_corpus import FOLDER, cache_name, cache_spec
from ..cache.staging import staged_file
from ..encoders import (
    CLIP_SECONDS,
    ModelSetup,
    Precision,
    open_audio_encoder,
    open_text_encoder,
    open_video_encoder,
    spec,
)
from .codec_fit import NAMES as FITTED
from .codec_fit import fit_missing
from .encode import CutSource, Encoders, features_of
from .heal import heal
from .plan import PlannedCut, planned_cuts
from .video import windows_on

STAGE = "extract"
COMMAND = "lpse extract"
BATCH_BYTES = 2 << 30  # of features that are staged before they are moved into parts

_GPU_WORKERS = 2  # one decodes while the other computes

Problems = dict[str, Problem]


@dataclass(frozen=True)
class Extraction:
    """The result of a run. `problems`: (reason, detail) of accepted cuts without features, by cut.

    `cuts`, `clips`, `seconds`: the content that the cache shows; `new`: cuts of this run; `withdrawn`: cuts in the
    cache that are no longer accepted.
    """

    folder: Path
    cuts: int
    clips: int
    seconds: float
    new: int
    withdrawn: int
    problems: Mapping[str, Problem]


@dataclass(frozen=True)
class Extracted:
    """The result of one cut; `problem`: the reason if it has no features."""

    problem: Problem | None = None


@dataclass(frozen=True)
class Extract:
    """The stage that encodes the video and audio of cuts and stages the features."""

    folder: Path
    encoders: tuple[str, str, str]
    setup: ModelSetup
    device: str
    precision: Precision
    name: str = STAGE
    unit: str = "seconds"

    def key(self, cut_id: str) -> str:
        """Content key over the cache, whose name identifies the encoders, and the cut, which never changes."""
        return digest(self.name, self.folder.name, cut_id)

    def open(self) -> Callable[[CutSource, ShareCallback], Extracted]:
        """Load the encoders. Raises ModelUnavailable with how to get a missing one."""
        torch.set_num_threads(1)
        visual, sync, audio = self.encoders
        video = {
            stream: open_video_encoder(name, self.setup, self.device, self.precision)
            for stream, name in (("visual", visual), ("sync", sync))
        }
        opened = open_audio_encoder(audio, self.setup, self.device, self.precision)
        return partial(self._extracted, Encoders(opened, video, windows_on(self.device)))

    def _extracted(self, encoders: Encoders, source: CutSource, report: ShareCallback) -> Extracted:
        try:
            stage(self.folder, features_of(source, encoders, report))
        except MediaError as error:
            return Extracted(error.problem)
        except CacheError as error:
            return Extracted(Problem("bad_features", str(error)))
        return Extracted()

    def encode(self, result: Extracted) -> dict[str, Any]:
        """{"problem": [reason, detail] | None}."""
        return {"problem": result.problem}

    def decode(self, values: Mapping[str, Any]) -> Extracted:
        """The result of `encode`'s values."""
        return Extracted(problem_of(values))


def extract(
    corpus: Corpus,
    recipe: Recipe | None = None,
    *,
    workers: int | None = None,
    device: str = "cpu",
    retry: bool = False,
    on_progress: ProgressCallback | None = None,
) -> Extraction:
    """Bring the cache of `recipe`'s encoders up to date with the corpus's accepted cuts.

    `recipe` None: the active recipe. `workers` None: one per core, at most 2 on a GPU. Cuts without features become
    drops of the stage "extract". Raises CorpusError if `recipe` has other decision settings, no cut is accepted or
    another command's commit is unfinished; ModelUnavailable; Locked.
    """
    corpus.check_finished(but=COMMAND)
    with corpus.lock(STAGE):
        recipe = agreed_recipe(corpus, recipe)
        features, setup = recipe.features, setup_of(corpus, recipe)
        wanted = planned_cuts(corpus, recipe, setup)
        if not wanted:
            raise CorpusError(f"{corpus.path}: no cut is accepted, nothing to extract")
        _check_encoders(recipe, setup)
        setup = fit_missing(corpus, features.audio, wanted, setup, on_progress)
        described = cache_spec(recipe, setup)
        folder = corpus.path / FOLDER / cache_name(recipe, described)
        heal(folder, described)
        create(folder, described)
        remove_leftovers(folder)
        encoders = (features.visual, features.sync, features.audio)
        work = Extract(folder, encoders, setup, device, features.precision)
        log = LedgeredRunner(Ledger(corpus), workers or workers_on(device), retry)
        before = len(stored(folder))
        problems = _extract(work, described, wanted, log, on_progress)
        for cut_id in staged(folder):  # of a run that was killed, and no longer accepted
            staged_file(folder, cut_id).unlink()
        log.ledger.compact()
        shown = [one for one in wanted if one.cut.cut_id not in problems]
        _add_texts(folder, recipe, setup, device, shown, on_progress)
        with corpus.commit(COMMAND) as change:
            _replace_drops(corpus, recipe, problems, change)
            return _show(folder, shown, problems, len(stored(folder)) - before, change)


def workers_on(device: str) -> int:
    """The default number of workers: one per core; on a GPU at most 2, each with its own encoders."""
    return default_workers() if device == "cpu" else min(_GPU_WORKERS, default_workers())


def agreed_recipe(corpus: Corpus, recipe: Recipe | None) -> Recipe:
    """`recipe`, or the active one if None. Raises CorpusError if it would decide other cuts than the corpus has."""
    active = corpus.active_recipe()
    if recipe is None:
        return active
    if recipe.hash != active.hash:
        raise CorpusError(
            f"{corpus.path}: decided by the recipe {active.name} ({active.hash}); {recipe.name} ({recipe.hash}) has "
            "other decision settings: run lpse replay with it first"
        )
    return recipe


def _check_encoders(recipe: Recipe, setup: ModelSetup) -> None:
    """Raises ModelUnavailable before work begins, except for codecs, which are fitted later."""
    for name in recipe.features.encoders:
        if name not in FITTED:
            spec(name, setup, recipe.features.precision)


def _extract(
    work: Extract,
    described: CacheSpec,
    wanted: Sequence[PlannedCut],
    log: LedgeredRunner,
    on_progress: ProgressCallback | None,
) -> Problems:
    """Encode every missing cut and move it into the parts; returns the problems by cut."""
    problems = {one.cut.cut_id: one.problem for one in wanted if one.problem}
    known = set(stored(work.folder))
    todo = [one for one in wanted if one.cut.cut_id not in known | problems.keys()]
    missing = {one.cut.cut_id: _item(work, one) for one in todo}
    total, behind = sum(item.weight for item in missing.values()), 0.0

    def shown(progress: Progress) -> None:
        if on_progress and todo:
            on_progress(replace(progress, done=behind + progress.done, total=total, items=len(missing)))

    for batch in _batches(wanted, described):
        items = [missing[one.cut.cut_id] for one in batch if one.cut.cut_id in missing]
        waiting = set(staged(work.folder))
        results = log.run(work, items, on_progress=shown, outputs_exist=waiting.__contains__)
        finished = []
        for item in items:
            if problem := results[item.key].problem:
                problems[item.id] = problem
            else:
                finished.append(item.id)
        commit(work.folder, finished)
        behind += sum(item.weight for item in items)
    return problems


def _item(work: Extract, one: PlannedCut) -> Item[CutSource]:
    cut = one.cut
    source = CutSource(cut.cut_id, cut.recording_id, one.path, cut.start, cut.end, one.recording.has_video)
    return Item(work.key(cut.cut_id), cut.cut_id, source, one.seconds, one.recording.uri)


def _batches(wanted: Sequence[PlannedCut], described: CacheSpec) -> Iterator[list[PlannedCut]]:
    """Cuts in order, in batches of about BATCH_BYTES of features.

    Finished cuts count too: so a run that was stopped resumes with the same batches, and its parts are the same.
    """
    values = sum(length * dimension for length, dimension in described.clip_shapes().values())
    clip_bytes = 2 * values * described.numpy_dtype.itemsize  # once in clips, once as a whole
    batch: list[PlannedCut] = []
    size = 0.0
    for one in wanted:
        batch.append(one)
        size += one.seconds / CLIP_SECONDS * clip_bytes
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0.0
    if batch:
        yield batch


def _add_texts(
    folder: Path,
    recipe: Recipe,
    setup: ModelSetup,
    device: str,
    shown: Sequence[PlannedCut],
    on_progress: ProgressCallback | None,
) -> None:
    """Encode the captions that the cache lacks."""
    known = set(stored_texts(folder))
    missing = {one.caption.text_id: one.caption.text for one in shown if one.caption.text_id not in known}
    if not missing:
        return
    encoder = open_text_encoder(recipe.features.text, setup, device, recipe.features.precision)
    encoded = {}
    for done, (text_id, text) in enumerate(sorted(missing.items()), start=1):
        encoded[text_id] = (text, encoder.encode(text).float().cpu().numpy())
        if on_progress:
            on_progress(Progress("caption", done, len(missing), items=len(missing)))
    add_texts(folder, encoded)


def _replace_drops(corpus: Corpus, recipe: Recipe, problems: Problems, change: Commit) -> None:
    """Replace the drops of earlier extractions by those of this one."""
    drops = list(corpus.rows(Drop, pc.field("stage") != STAGE))
    for cut_id, (reason, detail) in problems.items():
        drop = Drop(item=cut_id, item_kind="cut", stage=STAGE, reason=reason, detail=detail, recipe_hash=recipe.hash)
        drops.append(drop)
    change.replace("drops", drops)


def _indexed(folder: Path) -> dict[str, IndexRow]:
    """The rows of the existing index, by cut."""
    names = [field.name for field in fields(IndexRow)]
    try:
        table = read_index(folder).select(names)
    except CacheError:
        return {}  # missing the first time
    return {row["cut_id"]: IndexRow(**row) for row in table.to_pylist()}


def _show(folder: Path, shown: Sequence[PlannedCut], problems: Problems, new: int, change: Commit) -> Extraction:
    """Write the index, which shows extracted cuts and hides those that are no longer accepted."""
    places, wanted = find_cuts(folder), {one.cut.cut_id: one for one in shown}
    earlier = _indexed(folder)
    rows = []
    for cut_id, place in places.items():
        one = wanted.get(cut_id)
        row = IndexRow(
            cut_id=cut_id,
            recording_id=place.recording_id,
            start=place.start,
            end=place.end,
            clips=place.clips,
            has_video=place.has_video,
            caption=one.caption.text if one else "",
            caption_source=one.caption.source if one else "none",
            text_id=one.caption.text_id if one else "",
            split=one.split if one else "train",
            state="present" if one else "withdrawn",
        )
        if one is None and cut_id in earlier:
            row = replace(earlier[cut_id], state="withdrawn")
        rows.append(row)
    write_index(folder, rows, change.write)
    present = [row for row in rows if row.state == "present"]
    return Extraction(
        folder=folder,
        cuts=len(present),
        clips=sum(row.clips for row in present),
        seconds=sum(row.end - row.start for row in present),
        new=new,
        withdrawn=len(rows) - len(present),
        problems=problems,
    )
