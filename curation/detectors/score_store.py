"""Stores the scores of recordings beside the tables, one file per recording and detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from manifests.fits import fits_folder
from manifests.recipe import Recipe
from manifests.scores import WITHOUT_TAGS, FrameScores, from_rows, merged, to_rows
from manifests.shards import read_shard, shard_path, write_shard
from manifests.store import Corpus

from . import PICTURE, ModelSetup, spec


def setup_of(corpus: Corpus | None, recipe: Recipe) -> ModelSetup:
    """Model settings for the recipe's detectors: the user's weights, and the active fits of the corpus."""
    setup = ModelSetup(tuple(sorted(recipe.weights.items())), tuple(sorted(recipe.runtimes.items())))
    if corpus is None:
        return setup
    active = tuple((name, hashes[-1]) for name, hashes in sorted(corpus.fits.items()) if hashes)
    return replace(setup, fits=fits_folder(corpus), active=active)


def scores_path(corpus: Corpus, recording_id: str, detector: str, setup: ModelSetup) -> Path:
    """Path of a detector's scores of a recording."""
    return shard_path(corpus, "scores", recording_id, detector, spec(detector, setup).key(recording_id))


def save_scores(
    corpus: Corpus,
    recording_id: str,
    detector: str,
    setup: ModelSetup,
    scores: FrameScores,
    known: FrameScores | None = None,
) -> FrameScores:
    """Store a detector's scores, merged over the `known` ones, and return the merged scores."""
    one = spec(detector, setup)
    full = scores if known is None else merged(known, scores)
    rows = to_rows(full, recording_id=recording_id, detector=detector, version=one.version, key=one.key(recording_id))
    write_shard(corpus, "scores", rows, over=known is not None)
    return full


def load_scores(
    corpus: Corpus,
    recording_id: str,
    detectors: Sequence[str] | None = None,
    setup: ModelSetup | None = None,
    *,
    tags: bool = True,
) -> dict[str, FrameScores]:
    """The stored scores of a recording, by detector; detectors without scores are left out.

    `detectors` None: those of the active recipe, and `picture`. `setup` None: from the active recipe. Without `tags`
    reading is faster. Raises Damaged, with file and cure, and CorpusError if the corpus was never curated.
    """
    if detectors is None or setup is None:
        recipe = corpus.active_recipe()
        detectors = (*recipe.all_detectors, PICTURE) if detectors is None else detectors
        setup = setup or setup_of(corpus, recipe)
    columns = None if tags else WITHOUT_TAGS
    scores = {}
    for name in detectors:
        key = spec(name, setup).key(recording_id)
        try:
            scores[name] = from_rows(read_shard(corpus, "scores", recording_id, name, key, columns))
        except FileNotFoundError:
            continue
    return scores
