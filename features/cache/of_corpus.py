"""The feature caches of a corpus: every fault in them, as `manifests.validation` lists those of the tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from manifests.checks import Fault
from manifests.store import Corpus

from . import check

FOLDER = "features"


def caches(corpus: Corpus) -> list[Path]:
    """The folders of a corpus's caches, by name."""
    return sorted(path.parent for path in (corpus.path / FOLDER).glob("*/set.json"))


def cache_faults(corpus: Corpus) -> Iterator[Fault]:
    """All faults of all caches, checksums included; each is read whole."""
    for folder in caches(corpus):
        for problem in check(folder):
            yield Fault(FOLDER, f"{folder.name}/{problem.file}", problem.text)
