"""Files that cost far more than their size suggests: bounded time and memory, and one row each.

With LPSE_COSTLY set, at the sizes that were reported: a million packets, 8 GB of holes, ten hours.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tomli_w

from curation.media import identify
from curation.pipeline import curate as pipeline
from curation.pipeline.curate import curate
from manifests.files import data_bytes
from manifests.recipe import load_recipe
from manifests.records import Cut, Drop, Recording, Source
from manifests.store import Corpus
from manifests.uris import decode
from manifests.validation import validate
from tests.support import ROOT
from tests.support.hostile_media import edit_list, large_pictures, long_sound, sparse, tiny_packets

FULL = "LPSE_COSTLY" in os.environ
EDITS = 30_000


CHILD = """
import resource, sys
from pathlib import Path
from curation.pipeline.curate import curate
from manifests.recipe import load_recipe
from manifests.store import Corpus
folder, media, recipe, workers = sys.argv[1:]
curate(Corpus.create(folder), [Path(media)], load_recipe(recipe), workers=int(workers))
# not its own ru_maxrss: that has the peak of the process that started it
own = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(max(int(own), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
"""
MOST_KIB = 2 << 20  # of the largest process


def _curated(folder: Path, media: Path, recipe: str, seconds: float, workers: int) -> Corpus:
    """A corpus of `media`, made within `seconds` by processes of bounded memory."""
    command = [sys.executable, "-c", CHILD, str(folder), str(media), recipe, str(workers)]
    done = subprocess.run(command, cwd=ROOT, timeout=seconds, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) < MOST_KIB
    return Corpus.open(folder)


def _rows(corpus: Corpus) -> dict[str, str]:
    """By file: the status of its recording and the reason of its drop, if there are any."""
    recordings = {row.recording_id: row for row in corpus.rows(Recording)}
    reasons = {row.item: row.reason for row in corpus.rows(Drop)}
    found = {}
    for source in corpus.rows(Source):
        row = recordings.get(source.recording_id or "")
        reason = reasons.get(source.source_id) or (reasons.get(row.recording_id) if row else None)
        name = os.fspath(decode(source.uri)[1])
        assert name not in found
        found[name] = " ".join(filter(None, (row.status if row else None, reason)))
    return found


@pytest.mark.slow
def test_each_ends_as_a_row_within_bounds(tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    large_pictures(media / "large pictures.mp4")
    tiny_packets(media / "tiny packets.mkv", 1_000_000 if FULL else 600_000)
    edit_list(media / "edits.mp4", [(2, 35 * number) for number in range(EDITS)])
    sparse(media / "sparse.mp4", 8 << 30 if FULL else 1 << 30)
    os.mkfifo(media / "pipe.mp4")
    corpus = _curated(tmp_path / "corpus", media, "default", 300, workers=2)
    assert _rows(corpus) == {
        "large pictures.mp4": "ok",
        "tiny packets.mkv": "ok",
        "edits.mp4": "unreadable unreadable",
        "sparse.mp4": "unreadable not_media",
        "pipe.mp4": "not_media",
    }
    assert len({row.recording_id for row in corpus.rows(Cut)}) == 2
    assert validate(corpus) == []


@pytest.mark.slow
def test_many_hours_are_one_recording(tmp_path: Path) -> None:
    """With the two detectors that read every sample and need no network: the others take ten minutes."""
    (tmp_path / "media").mkdir()
    hours = 10.0 if FULL else 1.0
    path = long_sound(tmp_path / "media" / "long.wav", hours)
    settings = load_recipe("packaged").settings()
    speech = settings["contaminants"]["speech"]
    speech |= {"evidence": {"level.gap": {"bias": 0.5, "weight": 1.0}}, "suppressed_by": {}}
    settings |= {"detectors": ["level", "signal"], "contaminants": {"speech": speech}}
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(tomli_w.dumps(settings))
    corpus = _curated(tmp_path / "corpus", path, str(recipe), 400, workers=1)
    (row,) = corpus.rows(Recording)
    assert (row.status, row.duration) == ("ok", 3600 * hours)
    assert validate(corpus) == []


def test_a_pipe_that_is_named_as_a_source_is_a_row(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    corpus = Corpus.create(tmp_path / "corpus")
    started = time.monotonic()
    curate(corpus, [tmp_path / "pipe.wav"], load_recipe("packaged"), workers=1)
    assert time.monotonic() - started < 60
    assert _rows(corpus) == {"pipe.wav": "not_media"}


@pytest.mark.slow
def test_a_file_that_never_ends_stalls_and_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four terabytes of holes are read for an hour without a sign of life. The limit is shortened."""
    media = tmp_path / "media"
    media.mkdir()
    sparse(media / "endless.wav", 4 << 40, b"RIFF")
    long_sound(media / "sound.wav", hours=0.02)
    monkeypatch.setattr(pipeline, "STALL_SECONDS", 2.0)
    started = time.monotonic()
    corpus = Corpus.create(tmp_path / "corpus")
    curate(corpus, [media], load_recipe("packaged"), workers=2)
    assert time.monotonic() - started < 120
    assert _rows(corpus) == {"endless.wav": "worker_crashed", "sound.wav": "ok"}
    (detail,) = (row.detail for row in corpus.rows(Drop) if row.reason == "worker_crashed")
    assert detail == "stalled (no progress for 2 s)"
    assert validate(corpus) == []
    started = time.monotonic()
    curate(corpus, [media], load_recipe("packaged"), workers=2)
    assert time.monotonic() - started < 60, "not tried again"


def test_holes_do_not_lengthen_the_time_that_a_file_may_take(tmp_path: Path) -> None:
    hole = sparse(tmp_path / "hole", 1 << 40)
    partly = sparse(tmp_path / "partly", 1 << 40, bytes(range(256)) * 4096)
    full = tmp_path / "full"
    full.write_bytes(b"x" * 100_000)
    assert data_bytes(hole) == 0
    assert 1 << 20 <= data_bytes(partly) < 2 << 20
    assert 100_000 <= data_bytes(full) < 200_000
    assert data_bytes(tmp_path / "nothing") == 0


def test_an_edit_list_cannot_repeat_a_second_for_hours(tmp_path: Path) -> None:
    path = edit_list(tmp_path / "hours.mp4", [(2000, 0)] * EDITS)
    started = time.monotonic()
    identity = identify(path)
    assert time.monotonic() - started < 60
    assert identity.problem is not None and identity.problem.reason == "unreadable"
