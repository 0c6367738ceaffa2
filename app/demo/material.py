"""The input of the demo: long videos composed of real recordings at known times.

Each video is a soundscape of animal calls over a quiet bed of the same recordings. Some contain a conversation or
music. The video shows the audio. Layouts come from seeded generators: the same sounds give the same videos. The times
of all sounds are in `truth.jsonl`, their sources in `LICENSES.txt`. Both lie beside the media folder: inside, they
would be inputs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.media import write_media
from manifests.files import write_beside
from manifests.identity import digest
from manifests.time import to_ticks

from .picture import FRAME_RATE, still, study
from .sounds import SAMPLE_RATE, WHEELS, Sound, load_sounds

LEVELS_DB = {"sfx": -22.0, "speech": -22.0, "music": -22.0, "bed": -40.0}
"""RMS in dBFS by kind of sound; a sound whose peak would exceed PEAK is placed at a lower level."""
PEAK = 0.8
FADE_SECONDS = 0.05
CROSSFADE_SECONDS = 0.75
_ENCODER = {"preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"}
"""x264's bytes depend on the number of threads; with its macroblock tree they differ from call to call."""
BED = ("duck", "frog")
"""Recordings with an even background of their own: looped, they leave no digital silence."""


@dataclass(frozen=True)
class Scene:
    """One video: `calls` in random order for `duration` seconds, and the `planted` sounds with their times."""

    file: str
    duration: float
    calls: tuple[str, ...]
    seed: int
    planted: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Laid:
    """A sound placed at `start` seconds with a linear `gain`; `pan` from 0 (left) to 1 (right)."""

    sound: str
    start: float
    gain: float
    pan: float


@dataclass(frozen=True)
class Planted:
    """A line of truth.jsonl: the file contains `label` in [start, end) seconds."""

    file: str
    start: float
    end: float
    label: str
    sound: str


@dataclass(frozen=True)
class Material:
    """The built material: the folder to curate, and the planted times by file and start."""

    media: Path
    planted: tuple[Planted, ...]


_CALM, _HAPPY, _NOSTALGIC = "calm_acoustic_s411", "happy_acoustic_1", "nostalgic_acoustic_1"
SCENES = (
    Scene("farmyard.mp4", 180, ("cow", "rooster", "sheep", "duck"), seed=1),
    Scene("yard-with-a-conversation.mp4", 200, ("dog", "cat", "rooster", "horse"), 2, (("sample", 88),)),
    Scene("pond-with-music.mp4", 190, ("frog", "duck", "owl"), 3, ((_CALM, 80),)),
    Scene("meadow-with-both.mp4", 245, ("sheep", "cow", "duck"), 4, (("sample", 72), (_HAPPY, 172))),
    Scene(
        "talk-and-music-all-along.mp4",
        125,
        ("dog", "cat"),
        5,
        (("sample", 8), (_NOSTALGIC, 42), ("sample", 86)),
    ),
    Scene("too-short.mp4", 30, ("rooster", "sheep", "dog"), seed=6),
)
SILENT_FILM = "no-sound.mp4"
TEXT_FILE = "notes.mp4"


def build_material(
    folder: Path,
    *,
    on_line: Callable[[str], None] = lambda line: None,
    load: Callable[[Path], Mapping[str, Sound]] = load_sounds,
    scenes: tuple[Scene, ...] = SCENES,
) -> Material:
    """Build `folder`/media, truth.jsonl and LICENSES.txt; existing files are kept.

    `on_line` receives a line of text per step. Raises DemoError if the sounds cannot be downloaded.
    """
    media, truth, stamp = folder / "media", folder / "truth.jsonl", folder / "material.key"
    media.mkdir(parents=True, exist_ok=True)
    key = digest(repr(WHEELS), repr(scenes), LEVELS_DB)
    names = [scene.file for scene in scenes] + [SILENT_FILM, TEXT_FILE]
    if not stamp.is_file() or stamp.read_text() != key:
        # Files of another layout must not be mistaken for files of this one.
        for name in names:
            (media / name).unlink(missing_ok=True)
        truth.unlink(missing_ok=True)
        _write(stamp, key)
    if truth.is_file() and all((media / name).is_file() for name in names):
        rows = (Planted(**json.loads(line)) for line in truth.read_text().splitlines())
        return Material(media, tuple(rows))

    on_line("downloading the sounds")
    sounds = load(folder / "packages")
    planted = []
    for scene in scenes:
        laid = lay_out(scene, sounds)
        planted += truth_of(scene, laid, sounds)
        if not (media / scene.file).is_file():
            on_line(f"making {scene.file} ({scene.duration:.0f} s)")
            _film(media / scene.file, mix(scene, laid, sounds))
    if not (media / SILENT_FILM).is_file():
        on_line(f"making {SILENT_FILM}")
        write_media(media / SILENT_FILM, frames=still(70), fps=FRAME_RATE, video_options=_ENCODER)
    _write(media / TEXT_FILE, "Notes of a day in the yard. This is text: only its name is that of a video.\n")
    _write(folder / "LICENSES.txt", licences())
    _write(truth, "".join(json.dumps(asdict(row)) + "\n" for row in planted))
    return Material(media, tuple(planted))


def lay_out(scene: Scene, sounds: Mapping[str, Sound]) -> tuple[Laid, ...]:
    """The place of each sound: planted sounds at their times, calls in sequence with pauses."""
    draw = np.random.default_rng(scene.seed)
    laid = [Laid(name, start, _gain(sounds[name], sounds[name].label), 0.5) for name, start in scene.planted]
    now = draw.uniform(0.2, 1.0)
    order: list[str] = []
    while True:
        order = order or [str(name) for name in draw.permutation(scene.calls)]
        sound = sounds[order.pop()]
        if now + sound.duration > scene.duration:
            return tuple(laid)
        laid.append(Laid(sound.name, now, _gain(sound, sound.label, draw.uniform(-4.0, 2.0)), draw.uniform(0.2, 0.8)))
        now += sound.duration + draw.uniform(0.3, 2.5)


def truth_of(scene: Scene, laid: tuple[Laid, ...], sounds: Mapping[str, Sound]) -> list[Planted]:
    """The times of the labels of all placed sounds, by start."""
    rows = [
        Planted(
            scene.file,
            round(one.start + span.start, 3),
            round(one.start + span.end, 3),
            sound.label,
            one.sound,
        )
        for one in laid
        for sound in [sounds[one.sound]]
        for span in sound.labelled
    ]
    return sorted(rows, key=lambda row: (row.start, row.end, row.sound))


def mix(scene: Scene, laid: tuple[Laid, ...], sounds: Mapping[str, Sound]) -> NDArray[np.float32]:
    """The scene's soundtrack: float32 (2, n) at SAMPLE_RATE, every peak at or under PEAK."""
    count = to_ticks(scene.duration, SAMPLE_RATE)
    bed = [sounds[name] for name in BED]
    track = np.zeros((2, count), np.float32)
    for side, layer in product((0, 1), (0, 1)):  # two layers per side: while one pauses, the other continues
        track[side] += loop(bed, count, seed=(scene.seed, side, layer))
    track *= np.float32(np.sqrt(0.5))
    for one in laid:
        first = to_ticks(one.start, SAMPLE_RATE)
        samples = _faded(sounds[one.sound].samples, FADE_SECONDS)[: count - first] * np.float32(one.gain)
        # Equal power: a call is as loud in the middle as at the sides.
        for side, share in enumerate((np.cos(one.pan * np.pi / 2), np.sin(one.pan * np.pi / 2))):
            track[side, first : first + len(samples)] += np.float32(share * np.sqrt(2)) * samples
    loudest = float(np.abs(track).max())
    return track if loudest <= PEAK else track * np.float32(PEAK / loudest)


def loop(sounds: list[Sound], count: int, seed: tuple[int, ...]) -> NDArray[np.float32]:
    """`count` samples of `sounds` in random order and gain, at BED_DB, joined by equal-power crossfades."""
    draw = np.random.default_rng(seed)
    bed = np.zeros(count, np.float32)
    lap = to_ticks(CROSSFADE_SECONDS, SAMPLE_RATE)
    # The first begins before zero, so that the bed does not fade in.
    now = -lap
    order: list[int] = []
    while now < count:
        order = order or [int(index) for index in draw.permutation(len(sounds))]
        sound = sounds[order.pop()]
        piece = _faded(sound.samples, CROSSFADE_SECONDS) * np.float32(_gain(sound, "bed", draw.uniform(-3.0, 0.0)))
        piece, at = piece[max(0, -now) :], max(0, now)
        bed[at : at + len(piece)] += piece[: count - at]
        now += max(1, len(sound.samples) - lap)
    return bed


def _gain(sound: Sound, level: str, trim_db: float = 0.0) -> float:
    """The factor that brings `sound` to `trim_db` over a level of LEVELS_DB; its peaks stay under PEAK."""
    wanted = 10 ** ((LEVELS_DB[level] + trim_db) / 20)
    rms = float(np.sqrt(np.mean(np.square(sound.samples, dtype=np.float64))))
    return min(wanted / rms, PEAK / float(np.abs(sound.samples).max()))


def _faded(samples: NDArray[np.float32], seconds: float) -> NDArray[np.float32]:
    """A copy that fades in and out: sine ramps, so that two that overlap keep their summed power."""
    ramp_length = min(to_ticks(seconds, SAMPLE_RATE), len(samples) // 2)
    ramp = np.sin(np.arange(ramp_length, dtype=np.float32) * np.float32(np.pi / 2 / max(1, ramp_length)))
    faded = samples.copy()
    faded[:ramp_length] *= ramp
    faded[len(faded) - ramp_length :] *= ramp[::-1]
    return faded


def _film(path: Path, track: NDArray[np.float32]) -> None:
    write_media(
        path,
        frames=study(track.mean(axis=0), SAMPLE_RATE),
        fps=FRAME_RATE,
        audio=_seconds(track),
        sample_rate=SAMPLE_RATE,
        video_options=_ENCODER,
    )


def _seconds(track: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, track.shape[1], SAMPLE_RATE):
        yield track[:, start : start + SAMPLE_RATE]


def licences() -> str:
    """The text of LICENSES.txt: every package and file that the videos are made of."""
    lines = [
        "The videos in media/ are composed of these recordings. truth.jsonl lists their times.",
        "",
    ]
    for wheel in WHEELS:
        lines += [f"{wheel.package} {wheel.version}", f"  {wheel.licence}"]
        lines += [f"  {member.path}" for member in wheel.members] + [""]
    return "\n".join(lines)


def _write(path: Path, text: str) -> None:
    with write_beside(path) as file:
        file.write(text.encode())
