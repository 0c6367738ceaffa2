"""Labelled recordings for the fit: long mixtures of the validation sources, scored in a corpus of their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from manifests.files import write_beside
from manifests.recipe import Recipe
from manifests.records import Source
from manifests.store import Corpus
from manifests.uris import decode

from ...detectors.score_store import load_scores, setup_of
from ...pipeline.curate import curate
from ..evaluation.endtoend import Truth, write_set
from ..evaluation.recordings import FLOOR_DB, hard_factors, recipes, recordings
from ..mixing.draw import Drawer
from ..mixing.scene import LABELS
from ..sources.pool import Pool, Split
from .recordings import FitError, LabelledRecording

TRUTH = "truth.json"
LOUDER_DB = (0.0, 5.0, 10.0)
"""Without loud events a fit would give all weight to long windows, in which short ones vanish."""


def material(
    folder: Path,
    pool: Path,
    split: Split,
    *,
    pure: int,
    rounds: int,
    seed: int,
    progress: Callable[[float], None] | None = None,
) -> list[Truth]:
    """Write the recordings into `folder/media`, unless they are there, and return their truth."""
    path = folder / TRUTH
    if path.exists():
        return [Truth(**{**row, "categories": tuple(row["categories"])}) for row in json.loads(path.read_text())]
    opened = Pool.open(pool)
    plan = [*recipes(pure, rounds), *recipes(0, 1, LOUDER_DB)]
    made = recordings(Drawer(opened, split, hard_factors(opened)), plan, seed, floor_db=FLOOR_DB)
    truths = write_set(folder / "media", made, (lambda number: progress(number / len(plan))) if progress else None)
    with write_beside(path) as file:
        file.write(json.dumps([asdict(one) for one in truths]).encode())
    return truths


def labelled(
    folder: Path, truths: Sequence[Truth], recipe: Recipe, *, workers: int | None = None
) -> list[LabelledRecording]:
    """The recordings with the scores of the recipe's detectors; scores that exist are used.

    Raises FitError if a recording could not be scored.
    """
    corpus = Corpus.obtain(folder / "corpus")
    curate(corpus, [folder / "media"], recipe, workers=workers)
    names = {decode(one.uri)[1].name: one.recording_id for one in corpus.rows(Source) if one.recording_id}
    setup = setup_of(corpus, recipe)
    found = []
    for one in truths:
        if one.file not in names:
            raise FitError(f"{one.file}: could not be read")
        scores = load_scores(corpus, names[one.file], recipe.all_detectors, setup, tags=False)
        if missing := [name for name in recipe.all_detectors if name not in scores]:
            raise FitError(f"{one.file}: has no scores of {', '.join(missing)}")
        found.append(LabelledRecording(one.file, one.duration, scores, {kind: one.of(kind) for kind in LABELS}))
    return found
