"""A corpus of real recordings to review, fresh for each test, and the app that shows it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.demo.material import SCENES, build_material
from curation.pipeline.curate import curate
from manifests.recipe import load_recipe
from manifests.store import Corpus
from tests.support.visit import KEYS

FILMS = ("yard-with-a-conversation.mp4", "pond-with-music.mp4", "too-short.mp4")

Served = Callable[[Corpus], str]


@pytest.fixture(scope="session")
def curated_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `media` (recordings of animals and water, speech and music laid over them) and `corpus`."""
    folder = tmp_path_factory.mktemp("reviewed")
    media = build_material(folder, scenes=tuple(scene for scene in SCENES if scene.file in FILMS)).media
    curate(Corpus.create(folder / "corpus"), [media], load_recipe("packaged"), workers=2)
    return folder


@pytest.fixture
def review_folder(curated_once: Path, tmp_path: Path) -> Path:
    """A copy of the folder, free to change."""
    folder = tmp_path / "reviewed"
    for part in ("media", "corpus"):
        shutil.copytree(curated_once / part, folder / part)
    corpus = Corpus.open(folder / "corpus")
    assert all(root.is_relative_to(curated_once) for root in corpus.roots.values())
    settings = folder / "corpus" / "corpus.toml"
    settings.write_text(settings.read_text().replace(str(curated_once), str(folder)))
    return folder


@pytest.fixture
def review_corpus(review_folder: Path) -> Corpus:
    """The corpus in it."""
    return Corpus.open(review_folder / "corpus")


@pytest.fixture
def served() -> Iterator[Served]:
    """Starts the app on a corpus and gives its address; all end with the test."""
    from app.review import serving

    with ExitStack() as stack:

        def start(corpus: Corpus) -> str:
            running = stack.enter_context(serving(corpus))
            KEYS[running.address] = running.key
            return running.address

        yield start
