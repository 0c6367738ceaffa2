"""Proxies of real recordings by real workers: whole files or none whatever goes wrong, never outside the folder."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np
import pytest

import tests.support.media_files as files
from annotation.tasks.proxies import (
    Proxy,
    is_whole,
    make_proxies,
    proxies_folder,
    proxy_paths,
    prune_proxies,
    stray_links,
)
from annotation.tasks.windows import Window, window_of
from curation.media import identify, write_media
from curation.runner.progress import Progress
from manifests.lock import Locked, exclusive
from manifests.records import Recording, Task
from manifests.store import Corpus
from tests.support import ROOT

SECONDS = 60.0


def task(recording_id: str, start_ms: int, end_ms: int, has_picture: bool = True) -> Task:
    return Task(
        recording_id=recording_id,
        start_ms=start_ms,
        end_ms=end_ms,
        task_key=f"{recording_id}{start_ms}",
        purpose="label",
        round=1,
        span_start_ms=start_ms,
        span_end_ms=end_ms,
        prelabelled=False,
        has_picture=has_picture,
        annotators=1,
        priority=0.5,
        why="test",
        recipe_hash="0" * 16,
        planned_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film and a sound of a minute each."""
    folder = tmp_path_factory.mktemp("media")
    rng = np.random.default_rng(1)
    write_media(
        folder / "film.mp4",
        frames=(image for _ in range(3) for image in files.numbered_frames(200)),
        fps=10,
        audio=(rng.normal(0, 0.1, (2, 44_100)).astype(np.float32) for _ in range(int(SECONDS))),
        sample_rate=44_100,
    )
    files.write(folder / "sound.wav", files.tone(48_000, SECONDS), 48_000, "pcm_s16le")
    return folder


@pytest.fixture
def corpus(tmp_path: Path, media: Path) -> Corpus:
    """A corpus that knows the two, in a folder of its own."""
    own = tmp_path / "media"
    own.mkdir()
    for path in media.iterdir():
        os.link(path, own / path.name)
    return with_recordings(Corpus.create(tmp_path / "a corpus"), own)


def with_recordings(corpus: Corpus, folder: Path) -> Corpus:
    root = corpus.add_root(folder)
    rows = []
    for path in sorted(folder.iterdir()):
        found = identify(path, uri=f"{root}:{path.name}")
        rows.append(
            Recording(
                recording_id=found.recording_id,
                uri=f"{root}:{path.name}",
                bytes=found.bytes,
                duration=found.duration,
                has_video=path.suffix == ".mp4",
                status="ok",
            )
        )
    corpus.replace("recordings", rows)
    return corpus


def id_of(corpus: Corpus, name: str) -> str:
    (found,) = [row.recording_id for row in corpus.rows(Recording) if row.uri.endswith(name)]
    return str(found)


def plan(corpus: Corpus) -> list[Task]:
    film, sound = id_of(corpus, "film.mp4"), id_of(corpus, "sound.wav")
    windows = [(0, 9_000), (8_000, 17_500), (20_217, 30_000), (45_000, 60_000)]
    return [
        *(task(film, start, end) for start, end in windows),
        *(task(sound, start, end, has_picture=False) for start, end in windows),
    ]


def tree(corpus: Corpus) -> dict[str, bytes]:
    folder = proxies_folder(corpus)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def expected_names(tasks: Sequence[Task]) -> set[str]:
    proxies = [proxy_paths(one) for one in tasks]
    return {path for proxy in proxies for path in (proxy.sound, proxy.video) if path is not None}


def test_where_proxies_are() -> None:
    seen = proxy_paths(task("abcdef0123456789", 1000, 181_000))
    stem = "media/ab/abcdef0123456789-1000-181000-v1"
    assert seen == Proxy(f"{stem}.m4a", f"{stem}.mp4", 30)
    assert proxy_paths(task("abcdef0123456789", 1000, 181_000, False)) == Proxy(f"{stem}.m4a", None, 30)
    for unfit in ("../../etc", "a/b", "", ".x", "a b"):
        with pytest.raises(ValueError, match="part of a file name"):
            proxy_paths(task(unfit, 0, 1))


def test_every_window_gets_its_files_and_gets_them_once(corpus: Corpus) -> None:
    tasks = plan(corpus)
    steps: list[Progress] = []
    twice = [replace(tasks[0], purpose="agreement", has_picture=False), *tasks]
    twice += [replace(tasks[1], has_picture=False)]
    assert make_proxies(corpus, twice, workers=2, on_progress=steps.append) == {}
    made = tree(corpus)
    assert made.keys() == expected_names(tasks)
    for one in tasks:
        proxy = proxy_paths(one)
        for name in filter(None, (proxy.sound, proxy.video)):
            with av.open(str(proxies_folder(corpus) / name)) as container:
                assert container.duration is not None
                assert container.duration / 1e6 == pytest.approx(one.segment.duration, abs=0.04)
                assert not container.streams.video or container.streams.video[0].average_rate == proxy.fps
    total = sum(one.segment.duration for one in tasks)
    assert {(step.phase, step.unit, step.items) for step in steps} == {("proxies", "seconds", len(tasks))}
    assert [step.total for step in steps] == pytest.approx([total] * len(steps))
    assert steps[0].done == 0
    assert steps[-1].done == pytest.approx(total)
    assert any(0 < step.done < total and step.running == ("media:film.mp4",) * len(step.running) for step in steps)

    stamps = {path: path.stat().st_mtime_ns for path in proxies_folder(corpus).rglob("*.m*")}
    lost = proxies_folder(corpus) / proxy_paths(tasks[1]).sound
    lost.unlink()
    steps.clear()
    assert make_proxies(corpus, tasks, workers=2, on_progress=steps.append) == {}
    assert tree(corpus) == made  # equal bytes, when made again too
    again = {path for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp}
    assert again == {lost, lost.with_suffix(".mp4")}
    assert steps[0].done == pytest.approx(total - 9.5)
    steps.clear()
    assert make_proxies(corpus, tasks, workers=2, on_progress=steps.append) == {}
    assert [step.done for step in steps] == pytest.approx([total])
    assert make_proxies(corpus, [], workers=2) == {}


def test_what_cannot_be_made_is_told_and_stops_nothing(corpus: Corpus, tmp_path: Path) -> None:
    film, sound = id_of(corpus, "film.mp4"), id_of(corpus, "sound.wav")
    rows = {row.recording_id: row for row in corpus.rows(Recording)}
    bad = {
        "gone": replace(rows[film], recording_id="gone", uri="media:gone.mp4"),
        "moved": replace(rows[film], recording_id="moved", uri="nowhere:film.mp4"),
        "outside": replace(rows[film], recording_id="outside", uri="media:link.mp4"),
        "damaged": replace(rows[film], recording_id="damaged", uri="media:damaged.mp4", bytes=None),
        "changed": replace(rows[film], recording_id="changed", bytes=17),
    }
    (tmp_path / "elsewhere.mp4").write_bytes((tmp_path / "media" / "film.mp4").read_bytes())
    (tmp_path / "media" / "link.mp4").symlink_to("../elsewhere.mp4")
    files.cut_off(tmp_path / "media" / "film.mp4", tmp_path / "media" / "damaged.mp4", 0.3)
    corpus.replace("recordings", [*rows.values(), *bad.values()])
    good = [task(sound, 1000, 5000, False), task(film, 1000, 5000)]
    tasks = [
        good[0],
        *(task(name, 1000, 5000) for name in (*bad, "unheard_of")),
        task(film, 61_000, 65_000),
        task(sound, 2000, 4000),  # with a picture that is not there
        good[1],
    ]
    steps: list[Progress] = []
    problems = make_proxies(corpus, tasks, workers=2, on_progress=steps.append)
    reasons = {key[0] if key[1] == 1000 else f"{key[0]} {key[1]}": reason for key, (reason, _) in problems.items()}
    assert reasons == {
        "gone": "vanished",
        "moved": "no_root",
        "outside": "outside_root",
        "damaged": "unreadable",
        "changed": "changed",
        "unheard_of": "unknown_recording",
        f"{film} 61000": "outside_recording",
        f"{sound} 2000": "no_video_stream",
    }
    assert problems[Window("changed", 1000, 5000)][1].endswith("bytes, 17 when it was curated")
    assert problems[Window(film, 61_000, 65_000)][1] == "the window starts at 61.000 s, the recording lasts 60.000 s"
    assert all("\n" not in detail for _, detail in problems.values())
    assert tree(corpus).keys() == expected_names(good)
    assert steps[-1].done == pytest.approx(steps[-1].total)


def test_a_recording_that_kills_its_worker_blames_no_other(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder that crashes on one file, in the real worker processes, after it has written something."""
    poison = tmp_path / "poison"
    poison.mkdir()
    (poison / "sitecustomize.py").write_text(
        "import os, signal, sys, importlib.abc\n"
        "class Hook(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name != 'annotation.tasks.proxies': return None\n"
        "        sys.meta_path.remove(self)\n"
        "        import curation.media as media\n"
        "        real = media.write_proxies\n"
        "        def write_proxies(path, *rest, progress):\n"
        "            def die(share):\n"
        "                if share > 0.5 and path.endswith('.wav'): os.kill(os.getpid(), signal.SIGSEGV)\n"
        "            return real(path, *rest, progress=die)\n"
        "        media.write_proxies = write_proxies\n"
        "        return None\n"
        "sys.meta_path.insert(0, Hook())\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(poison))
    tasks = [one for one in plan(corpus) if one.start_ms in (0, 45_000)]
    problems = make_proxies(corpus, tasks, workers=2)
    crashed = [one for one in tasks if not one.has_picture]
    assert problems.keys() == {window_of(one) for one in crashed}
    assert {reason for reason, _ in problems.values()} == {"worker_crashed"}
    assert all("SIGSEGV" in detail for _, detail in problems.values())
    assert tree(corpus).keys() == expected_names([one for one in tasks if one.has_picture])
    monkeypatch.delenv("PYTHONPATH")
    assert make_proxies(corpus, tasks, workers=2) == {}
    assert tree(corpus).keys() == expected_names(tasks)


def children(pid: int) -> list[int]:
    found = []
    for one in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in one.read_text().split()]
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers through /proc")
def test_killed_and_started_again_gives_the_same_files(corpus: Corpus, tmp_path: Path) -> None:
    tasks = plan(corpus)
    whole = with_recordings(Corpus.create(tmp_path / "whole"), tmp_path / "media")
    assert make_proxies(whole, tasks, workers=1) == {}
    expected = tree(whole)
    code = (
        "import sys\n"
        "from tests.annotation.tasks.test_proxies import Corpus, make_proxies, plan\n"
        "corpus = Corpus.open(sys.argv[1])\n"
        "sys.exit(len(make_proxies(corpus, plan(corpus), workers=2)))\n"
    )
    rng = random.Random(5)
    kills = {"run": 0, "worker": 0}
    half_written = 0
    for attempt in range(60):
        whom = "run" if attempt % 2 == 0 else "worker"
        folder = proxies_folder(corpus)
        before = set(folder.rglob(".*"))
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(corpus.path)],
            cwd=ROOT,
        )
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline and set(folder.rglob(".*")) <= before:
            time.sleep(0.005)
        time.sleep(rng.uniform(0.0, 0.25))
        workers = children(process.pid) if process.poll() is None else []
        if process.poll() is None and whom == "run":
            process.send_signal(signal.SIGKILL)
            kills["run"] += 1
        elif workers:
            os.kill(rng.choice(workers), signal.SIGKILL)
            kills["worker"] += 1
        ended = process.wait(120)
        while any(Path(f"/proc/{pid}").exists() for pid in workers):
            time.sleep(0.005)
        there = tree(corpus)
        visible = {name: data for name, data in there.items() if not Path(name).name.startswith(".")}
        assert visible.items() <= expected.items()  # never half a file under its name
        half_written += len(there) - len(visible)
        if ended == 0:
            assert there == expected
            if kills["run"] >= 3 and kills["worker"] >= 2:
                break
            for path in rng.sample(sorted(expected), 6):
                (folder / path).unlink()
    else:
        pytest.fail(f"never came to an end: {kills}")
    assert half_written > 0  # the kills did hit while something was written
    assert tree(corpus) == expected


def test_only_one_process_makes_proxies(corpus: Corpus) -> None:
    with exclusive(corpus.path / ".proxies.lock", "proxies"), pytest.raises(Locked, match="proxies"):
        make_proxies(corpus, plan(corpus), workers=1)
    with corpus.lock("push"):  # whoever pushes makes the proxies first
        assert make_proxies(corpus, plan(corpus)[-1:], workers=1) == {}


def test_nothing_is_written_through_a_link(corpus: Corpus, tmp_path: Path) -> None:
    film, sound = id_of(corpus, "film.mp4"), id_of(corpus, "sound.wav")
    folder = proxies_folder(corpus)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    assert stray_links(corpus) == []

    linked = [task(film, 0, 3000), task(film, 3000, 6000), task(film, 6000, 9000), task(sound, 0, 3000, False)]
    linked += [task(film, 9000, 12_000, False)]
    places = [folder / proxy_paths(one).sound for one in linked]
    places[0].parent.mkdir(parents=True)
    places[0].symlink_to(outside / "precious")
    places[1].with_suffix(".mp4").symlink_to(outside / "not yet")
    assert places[2].parent == places[0].parent != places[3].parent
    places[3].parent.symlink_to(outside)
    places[4].symlink_to(outside / "precious")
    problems = make_proxies(corpus, linked, workers=2)
    assert {key: reason for key, (reason, _) in problems.items()} == {
        window_of(one): "link_refused" for one in linked if one is not linked[2]
    }
    assert problems[window_of(linked[0])][1] == f"{proxy_paths(linked[0]).sound} is a symbolic link: remove it"
    assert [path.name for path in outside.iterdir()] == ["precious"]
    assert (outside / "precious").read_text() == "precious"
    assert tree(corpus).keys() == expected_names([linked[2], linked[4]]) | {proxy_paths(linked[0]).sound}

    strays = sorted([places[0], places[1].with_suffix(".mp4"), places[3].parent, places[4]])
    assert stray_links(corpus) == strays
    inside = folder / "media" / "inside.m4a"
    inside.symlink_to(places[2])
    assert stray_links(corpus) == strays
    for path in strays:
        path.unlink()
    assert stray_links(corpus) == []
    assert make_proxies(corpus, linked, workers=2) == {}


def test_a_folder_of_proxies_that_is_a_link(corpus: Corpus, tmp_path: Path) -> None:
    """What looks like ours behind it is not ours to delete either."""
    outside = tmp_path / "outside"
    (outside / "ab").mkdir(parents=True)
    theirs = [outside / "ab" / name for name in (".x.1-0123abcd.part.mp4", "ab-1-2-v1.mp4")]
    for path in theirs:
        path.write_text("theirs")
    proxies_folder(corpus).mkdir()
    (proxies_folder(corpus) / "media").symlink_to(outside)
    ((_, (reason, detail)),) = make_proxies(corpus, plan(corpus)[:1], workers=1).items()
    assert (reason, detail) == ("link_refused", "media is a symbolic link: remove it")
    assert prune_proxies(corpus, []) == 0
    assert sorted(path for path in outside.rglob("*") if path.is_file()) == sorted(theirs)


def test_prune_keeps_what_is_wanted_and_what_is_not_ours(corpus: Corpus) -> None:
    tasks = [*plan(corpus)[:2], plan(corpus)[-1]]
    assert prune_proxies(corpus, []) == 0
    assert make_proxies(corpus, tasks, workers=2) == {}
    folder = proxies_folder(corpus) / "media"
    (folder / "ab").mkdir(exist_ok=True)
    old = folder / "ab" / (Path(proxy_paths(tasks[0]).sound).name.replace("-v1", "-v0"))
    foreign = folder / "ab" / "holiday.mp4"
    for path in (old, foreign):
        path.write_bytes(b"")
    assert prune_proxies(corpus, [window_of(tasks[0])]) == 4
    assert tree(corpus).keys() == expected_names(tasks[:1]) | {"media/ab/holiday.mp4"}


def test_a_proxy_that_was_cut_off_or_emptied_is_made_again_and_named(
    corpus: Corpus, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = plan(corpus)[:1]
    assert make_proxies(corpus, tasks, workers=1) == {}
    whole = tree(corpus)
    for name in proxy_paths(tasks[0]).sound, proxy_paths(tasks[0]).video:
        path = proxies_folder(corpus) / (name or "")
        if name is None:
            continue
        assert is_whole(path)
        for share in (0.0, 0.3, 0.99):
            content = path.read_bytes()
            path.write_bytes(content[: int(len(content) * share)])
            assert not is_whole(path)
            caplog.clear()
            assert make_proxies(corpus, tasks, workers=1) == {}
            assert tree(corpus) == whole
            assert [record.getMessage() for record in caplog.records if path.name in record.getMessage()]
