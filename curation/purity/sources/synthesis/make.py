"""The making of all synthetic packages, each by its name, and the list of what is missing for them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..pool import Pool
from . import effects, music, singing, speech
from .jobs import Job, LeftOut, make_package
from .music import FONTS
from .programs import Places, SynthesisError
from .recorded import Recordings
from .voices import HIBARI

VERSIONS: Mapping[str, str] = {room.PACKAGE: room.VERSION for room in (effects, music, speech, singing)}
"""The packages in the order in which they are made, with their versions."""
_PROGRAMS: Mapping[str, Sequence[str]] = {
    effects.PACKAGE: (),
    music.PACKAGE: ("fluidsynth", "mma", "openmpt123"),
    speech.PACKAGE: ("espeak-ng", "flite", "hibari"),
    singing.PACKAGE: ("fluidsynth", "mma", "espeak-ng", "flite", "hibari"),
}


def missing(package: str, places: Places) -> list[str]:
    """The programs, soundfonts and songs that a package needs and that are not installed, each with its cure."""
    found = [
        f"{name} ({HIBARI if name == 'hibari' else f'apt-get install {name}'})"
        for name in _PROGRAMS[package]
        if not shutil.which(name)
    ]
    files: list[tuple[str, str, bool]] = []
    if package in (music.PACKAGE, singing.PACKAGE):
        files += [(font.file, font.package, places.has(font.file)) for font in FONTS.values()]
    if package == music.PACKAGE:
        files += [(wad, "freedoom", places.has(wad)) for wad in music.WADS]
        files += [
            (f"songs of {name}", name, bool(music.songs(places, name))) for name in (*music.SONGS, *music.MODULES)
        ]
    return found + [f"{file} (apt-get install {owner})" for file, owner, there in files if not there]


def make(
    folder: Path,
    places: Places | None = None,
    packages: Sequence[str] = tuple(VERSIONS),
    progress: Callable[[str], None] | None = None,
) -> dict[str, list[LeftOut]]:
    """Make synthetic packages of the pool in `folder`; returns the sources left out of each, with their reasons.

    `places` are the folders of unpacked packages. Singing uses the speech that the pool already has: gather that
    first. Finished packages stay, unfinished ones continue. `progress` receives the name of each package before it.
    Raises SynthesisError, before any is made, if a program, a soundfont or a package of songs is missing.
    """
    found = Places() if places is None else places
    lacking = [line for package in packages for line in missing(package, found)]
    if lacking:
        raise SynthesisError(f"missing for synthesis: {', '.join(dict.fromkeys(lacking))}")
    left_out = {}
    for package in packages:
        if progress is not None:
            progress(package)
        left_out[package] = make_package(folder, package, VERSIONS[package], jobs_of(package, folder, found))
    return left_out


def jobs_of(package: str, folder: Path, places: Places) -> list[Job]:
    """The jobs of a package, for the pool in `folder`."""
    if package == effects.PACKAGE:
        return effects.jobs()
    if package == music.PACKAGE:
        return music.jobs(places)
    if package == speech.PACKAGE:
        return speech.jobs()
    recordings = Recordings.of(Pool.open(folder)) if list(folder.glob("*.parquet")) else None
    return singing.jobs(places, recordings)
