"""Commits: kills at any moment lose and double nothing, and what comes out in the end is the same to the byte."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from features.cache import CacheError, FeatureCache, check, commit, create, remove_leftovers, stage, staged, stored
from manifests.files import leftovers
from manifests.lock import Locked, exclusive
from tests.support import ROOT
from tests.support.cache_cases import SPEC, cache_of, features, files, some

CUTS = some(24)
IDS = [cut.cut_id for cut in CUTS]
LIMIT = 40_000

# Waits for a line, so that its slow start is over before the clock of the kill runs.
_COMMIT = """
import os, sys
from pathlib import Path
from features.cache import commit
link, at = os.link, int(sys.argv[3])
done = 0
def killed(*arguments):
    global done
    done += 1
    if done == at:
        os.kill(os.getpid(), 9)
    link(*arguments)
os.link = killed
print("ready", flush=True)
sys.stdin.readline()
print("started", flush=True)
commit(Path(sys.argv[1]), sys.argv[4:], int(sys.argv[2]))
print("finished", flush=True)
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Everything is staged."""
    create(tmp_path / "cache", SPEC)
    for cut in CUTS:
        stage(tmp_path / "cache", cut)
    return tmp_path / "cache"


@pytest.fixture
def undisturbed(path: Path, tmp_path: Path) -> dict[str, bytes]:
    """What a commit that nobody kills leaves."""
    shutil.copytree(path, tmp_path / "other")
    assert commit(tmp_path / "other", IDS, LIMIT).parts > 8
    return files(tmp_path / "other")


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def begin(path: Path, at: int = 0) -> subprocess.Popen[str]:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", _COMMIT, str(path), str(LIMIT), str(at), *IDS],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    cwd=ROOT,
                )
            )
            stack.callback(process.kill)
            return process

        yield begin


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()
    assert process.stdout.readline() == "started\n"


def test_kills_at_random_moments_change_nothing(path: Path, undisturbed: dict[str, bytes], start: Start) -> None:
    draw = random.Random(os.getpid())
    processes = [start(path) for _ in range(4)]
    for process in processes:
        before = len(list((path / "cuts").glob("part-*"))) if (path / "cuts").exists() else 0
        go(process)
        until = time.monotonic() + 20
        # A part more, and then some moment of the next.
        while process.poll() is None and time.monotonic() < until:
            if len(list((path / "cuts").glob("part-*"))) > before:
                break
        time.sleep(draw.uniform(0, 0.03))
        process.send_signal(signal.SIGKILL)
        process.wait()
        there = stored(path)
        assert there == IDS[: len(there)], "in order, none twice"
        assert set(there) | set(staged(path)) == set(IDS), "none lost"
    commit(path, IDS, LIMIT)
    assert files(path) == undisturbed
    assert staged(path) == [] and stored(path) == IDS and check(path) == []


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_kill_just_before_a_part_has_its_name(
    path: Path, undisturbed: dict[str, bytes], start: Start, at: int
) -> None:
    """1: before the first clips; 2: between the clips and their cuts; 3: between two pairs."""
    process = start(path, at)
    go(process)
    process.wait(timeout=60)
    assert process.returncode == -signal.SIGKILL
    parts = [len(list((path / folder).glob("part-*"))) for folder in ("clips", "cuts")]
    assert parts == {1: [0, 0], 2: [1, 0], 3: [1, 1]}[at]
    assert stored(path) == ([] if at < 3 else IDS[: len(stored(path))])
    assert (len(stored(path)) > 0) == (at == 3)
    assert set(staged(path)) == set(IDS)
    assert list(leftovers(path)), "the kill came too late to leave anything"
    commit(path, IDS, LIMIT)
    assert files(path) == undisturbed and check(path) == []


def test_parts_are_filled_in_order_up_to_the_limit(path: Path, undisturbed: dict[str, bytes]) -> None:
    commit(path, IDS, LIMIT)
    assert files(path) == undisturbed, "the same rows, the same bytes"
    sizes = [file.stat().st_size for file in sorted(path.glob("*/part-*"))]
    lone = 4 * (64 * 16 + 192 * 10 + 2 * 12 * 8) * 2  # a cut of four clips is larger than the limit allows for two
    assert max(sizes) < max(LIMIT, lone) * 1.5
    with_room = path.parent / "room"
    cache_of(with_room, CUTS, part_bytes=1 << 30)
    assert len(list((with_room / "clips").iterdir())) == 1
    tiny = path.parent / "tiny"
    cache_of(tiny, CUTS, part_bytes=1)
    assert len(list((tiny / "clips").iterdir())) == len(CUTS), "a cut larger than the limit has a part of its own"
    assert check(tiny) == []


def test_later_commits_add_parts_and_touch_none(path: Path) -> None:
    commit(path, IDS[:10], LIMIT)
    before = {name: data for name, data in files(path).items() if "part-" in name}
    done = commit(path, IDS, LIMIT)
    assert done.cuts == len(IDS) - 10
    after = files(path)
    assert all(after[name] == data for name, data in before.items())
    assert stored(path) == IDS
    again = commit(path, IDS, LIMIT)
    assert (again.cuts, again.clips, again.parts, again.bytes) == (0, 0, 0, 0) and files(path) == after


def test_a_cut_staged_again_after_its_commit_is_dropped(path: Path) -> None:
    commit(path, IDS[:3])
    stage(path, CUTS[1])
    commit(path, IDS[:2])
    assert stored(path) == IDS[:3] and "c1" not in staged(path)


def test_cuts_nobody_staged_are_named_and_nothing_is_moved(path: Path) -> None:
    with pytest.raises(CacheError, match=r"cut c77 is neither staged nor stored \(2 such cuts\)"):
        commit(path, [*IDS[:3], "c77", "c78"])
    assert stored(path) == [] and len(staged(path)) == len(IDS)


def test_a_broken_staged_cut_is_named(path: Path) -> None:
    file = path / "staged" / "c5.parquet"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(CacheError, match=r"staged/c5.parquet: unreadable, remove it and extract the cut again"):
        commit(path, IDS)
    assert stored(path) == [] and not list(leftovers(path))
    stage(path, CUTS[5])
    commit(path, IDS)
    assert stored(path) == IDS


def test_one_writer_at_a_time(path: Path) -> None:
    with exclusive(path / "write.lock", "test"), pytest.raises(Locked):
        commit(path, IDS)
    assert commit(path, IDS).cuts == len(IDS)


def test_nothing_is_seen_before_the_index_says_so(path: Path, tmp_path: Path) -> None:
    commit(path, IDS)
    with pytest.raises(CacheError, match=r"no cuts are shown yet"):
        FeatureCache(path)
    other = cache_of(tmp_path / "seen", CUTS[:3])
    before = len(FeatureCache(other))
    stage(other, features(99))
    commit(other, ["c99"])
    assert len(FeatureCache(other)) == before


def test_leftovers_can_be_swept(path: Path) -> None:
    for folder in ("staged", "clips"):
        (path / folder).mkdir(exist_ok=True)
        (path / folder / ".c0.parquet.1-ab.tmp").write_bytes(b"half")
    assert staged(path) == sorted(IDS)
    remove_leftovers(path)
    assert not list(leftovers(path)) and staged(path) == sorted(IDS)
