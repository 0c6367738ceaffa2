"""The feature caches of a corpus: their names, the one to use, and every fault in them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from curation.backends.weights import ModelSetup, ModelUnavailable
from curation.detectors.score_store import setup_of
from manifests.checks import Fault
from manifests.identity import digest
from manifests.recipe import Recipe
from manifests.store import Corpus

from ..encoders import CLIP_SECONDS, spec
from .check import check
from .spec import CacheError, CacheSpec, StreamSpec

FOLDER = "features"


def caches(corpus: Corpus) -> list[Path]:
    """The folders of a corpus's caches, by name, also those that have lost their description."""
    inside = [path for name in ("set.json", "index.parquet") for path in (corpus.path / FOLDER).glob(f"*/{name}")]
    return sorted({path.parent for path in inside})


def cache_folder(corpus: Corpus, name: str | None = None) -> Path:
    """The folder of the cache `name`; without a name the only one, or that of the active recipe's encoders.

    Raises CacheError if there is no such cache, or several to choose from: the message lists their names.
    """
    folders = caches(corpus)
    if not folders:
        where = shlex.quote(str(corpus.path))
        raise CacheError(f"{corpus.path}: no features yet: run lpse extract --corpus {where}")
    if name is not None:
        folders, known = [path for path in folders if path.name == name], folders
        if not folders:
            raise CacheError(f"{corpus.path}: no cache {name}; there are {', '.join(path.name for path in known)}")
    if len(folders) > 1:
        with suppress(ModelUnavailable):  # without its encoders the recipe's own cache has no name
            recipe = corpus.active_recipe()
            own = cache_name(recipe, cache_spec(recipe, setup_of(corpus, recipe)))
            folders = [path for path in folders if path.name == own] or folders
    if len(folders) > 1:
        raise CacheError(f"{corpus.path}: several caches, name one of them: {', '.join(map(str, folders))}")
    return folders[0]


def cache_spec(recipe: Recipe, setup: ModelSetup) -> CacheSpec:
    """The streams of the recipe's encoders. Raises ModelUnavailable if one cannot run here."""
    features = recipe.features
    visual, sync, audio, text = (StreamSpec.of(spec(name, setup, features.precision)) for name in features.encoders)
    return CacheSpec(audio, visual, sync, text, dtype=features.dtype, clip_seconds=CLIP_SECONDS)


def cache_name(recipe: Recipe, described: CacheSpec) -> str:
    """The name of a cache's folder: the recipe's name, for people, and a hash of its streams."""
    word = "".join(c if c.isalnum() or c in "-_" else "-" for c in recipe.name) or "features"
    return f"{word}-{digest('features', asdict(described))[:8]}"


def cache_faults(corpus: Corpus) -> Iterator[Fault]:
    """Yield the faults of all caches, checksums included, each with its cure; each cache is read in full."""
    for folder in caches(corpus):
        for problem in check(folder):
            in_part = problem.file.startswith(("clips/", "cuts/", "texts/"))
            cure = (
                "remove the file and run lpse extract, which encodes its cuts again" if in_part else "run lpse extract"
            )
            yield Fault(FOLDER, f"{folder.name}/{problem.file}", f"{problem.text}: {cure}")
