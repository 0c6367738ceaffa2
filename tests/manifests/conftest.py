from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from manifests.store import Corpus
from tests.support import ROOT

StartPython = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    # A name that URIs, globs and format strings could trip over.
    return Corpus.create(tmp_path / "a [corpus] 100%, {x}: é")


@pytest.fixture
def start_python() -> Iterator[StartPython]:
    """Runs code in a Python of its own, where `corpus` is open; killed when the test ends."""
    with_corpus = "import os, sys\nfrom manifests.store import Corpus\ncorpus = Corpus.open(sys.argv[1])\n"
    processes: list[subprocess.Popen[str]] = []

    def start(corpus: Corpus, code: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "error", "-c", with_corpus + code, str(corpus.path), *arguments]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            **options,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()
