"""One real Label Studio for all tests of this folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `studio`, which the tests share

from studio import LabelStudio

from annotation.server import serving
from manifests.store import Corpus


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    """A server on a corpus of its own; installs Label Studio (minutes) where that has not been done."""
    corpus = Corpus.create(tmp_path_factory.mktemp("label-studio") / "corpus")
    with serving(corpus) as running:
        yield LabelStudio(corpus, running)
