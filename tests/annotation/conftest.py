"""One real Label Studio for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from annotation.server import serving
from manifests.store import Corpus
from tests.support.label_studio import LabelStudio


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    """A server on a corpus of its own; installs Label Studio (minutes) where that has not been done."""
    corpus = Corpus.create(tmp_path_factory.mktemp("label-studio") / "corpus")
    with serving(corpus) as running:
        yield LabelStudio(corpus, running)
