"""Music rendered from MIDI and modules: accompaniments by MMA, composed solos and bands, songs inside packages."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..pool import RATE, Split
from .composing import SOLO, band_piece, chord_sheet, plan, solo_piece
from .jobs import Job, finished
from .midi import DRUMS, MidiError, Song, read_song
from .programs import Places, SynthesisError, accompanied_midi, rendered_midi, rendered_module
from .signals import Rng, Wave, between

PACKAGE = "synthesis-music"
VERSION = "1"
SECONDS = (20.0, 60.0)


@dataclass(frozen=True)
class Font:
    """A soundfont: its file, its Debian package, its licence."""

    file: str
    package: str
    licence: str


FONTS: Mapping[str, Font] = {
    "fluid-gm": Font("FluidR3_GM.sf2", "fluid-soundfont-gm", "MIT"),
    "timgm6mb": Font("TimGM6mb.sf2", "timgm6mb-soundfont", "GPL-2"),
    "musescore": Font("MuseScore_General_Lite.sf3", "musescore-general-soundfont-small", "MIT"),
    "opl3": Font("OPL-3_FM_128M.sf2", "opl3-soundfont", "CC-BY-SA-4.0"),
}
TRAINED_FONTS = ("fluid-gm", "timgm6mb", "fluid-gm", "timgm6mb", "fluid-gm", "timgm6mb", "musescore")
"""The fonts of training, as often as they are used; `opl3` is for validation alone.

The compressed `musescore` takes several times as long.
"""
SONGS: Mapping[str, tuple[str, str]] = {
    "openttd-openmsx": ("openmsx", "GPL-2"),
    "planetblupi-music-midi": ("planetblupi", "GPL-3+"),
}
"""Packages with MIDI files: the name of a folder they lie in, and the licence."""
TRAINED_SONGS = "planetblupi-music-midi"
"""The package whose songs are in training as recordings too: a validation on them would be none."""
WADS = ("freedoom1.wad", "freedoom2.wad")
"""Files of the package freedoom with MIDI songs inside."""
MODULES: Mapping[str, tuple[str, str]] = {
    "tecnoballz-data": ("tecnoballz", "GPL-3+"),
    "rafkill-data": ("rafkill", "LGPL-2"),
    "criticalmass-data": ("criticalmass", "GPL-2+"),
}
"""Packages with tracker modules, likewise."""


def held_out(style: str) -> bool:
    """True for about one style in ten: all its sources are for validation."""
    return zlib.crc32(style.encode()) % 10 == 0


def split_of(style: str) -> Split:
    """The split in whose songs a style accompanies the voice: half of the styles held out are for the test."""
    return "train" if not held_out(style) else "test" if zlib.crc32(style.encode()) % 20 else "val"


@lru_cache(maxsize=4)
def grooves(places: Places) -> tuple[str, ...]:
    """The names of MMA's grooves, sorted, without introductions, fills and endings."""
    names = set()
    for path in places.all(".mma", "lib"):
        names |= set(re.findall(r"(?im)^\s*DefGroove\s+(\S+)", path.read_text(errors="replace")))
    if not names:
        raise SynthesisError("the grooves of MMA are missing; install them with: apt-get install mma")
    return tuple(name for name in sorted(names) if not re.search(r"(Intro|End|Fill|Sus|Plus|Count|Metronome)", name))


def family(groove: str) -> str:
    """The style of a groove: its name without numbers and variants, in lower case."""
    return re.sub(r"(?<=[A-Za-z])\d.*$|(?<=\d)[A-D]$", "", groove).lower()


def jobs(places: Places, *, mma: int = 220, solo: int = 120, band: int = 90, excerpts: int = 1) -> list[Job]:
    """The jobs of rendered music: numbers of pieces by kind, and of excerpts per song inside packages."""
    return list(_jobs(places, mma, solo, band, excerpts))


def _jobs(places: Places, mma: int, solo: int, band: int, excerpts: int) -> Iterator[Job]:
    yield from _module_jobs(places, 2 * excerpts)
    yield from _song_jobs(places, excerpts)
    rng = np.random.default_rng(18)
    names = list(rng.permutation(grooves(places))) if mma else []
    for seed in range(max(mma, solo, band)):
        if seed < mma:
            name = str(names[seed % len(names)])
            yield _job(
                places, f"mma/{name}/seed-{seed}", family(name), "GPL-2+ (MMA)", partial(accompaniment_song, name, seed)
            )
        if seed < solo:
            sound = list(SOLO)[seed % len(SOLO)]
            yield _job(places, f"solo/{sound}/seed-{seed}", f"solo-{sound}", "", partial(solo_song, sound, seed))
        if seed < band:
            yield _job(places, f"band/seed-{seed}", f"band-{seed % 40}", "", partial(band_song, seed))


def accompaniment_song(groove: str, seed: int) -> Song:
    """MMA's accompaniment of a random chord sheet; at times in another key, with other instruments, or fewer parts."""
    rng = np.random.default_rng([seed, 1])
    piece = plan(rng, between(rng, *SECONDS))
    return varied(rng, read_song(accompanied_midi(chord_sheet(rng, piece, groove, seed))))


def solo_song(sound: str, seed: int) -> Song:
    """A piece for one instrument."""
    rng = np.random.default_rng([seed, 2])
    return solo_piece(rng, plan(rng, between(rng, *SECONDS)), sound)


def band_song(seed: int) -> Song:
    """A piece for a few instruments."""
    rng = np.random.default_rng([seed, 3])
    return band_piece(rng, plan(rng, between(rng, *SECONDS)))


def packaged_song(data: bytes, seed: int) -> Song:
    """A random part of a song, varied."""
    rng = np.random.default_rng([seed, zlib.crc32(data)])
    song = read_song(data)
    length = between(rng, *SECONDS)
    start = rng.uniform(0, max(song.seconds() - length, 0.001))
    return varied(rng, song.part(start, length))


def varied(rng: Rng, song: Song) -> Song:
    """The song in another key and tempo; at times without drums, with fewer parts, or with other instruments."""
    song = song.transposed(int(rng.integers(-5, 7))).faster(between(rng, 0.85, 1.18))
    channels = [c for c in song.channels() if c != DRUMS]
    if rng.random() < 0.35 and channels:
        song = song.without({DRUMS})
    if rng.random() < 0.3 and len(channels) > 2:
        song = song.without(set(rng.choice(channels, int(rng.integers(1, len(channels) - 1)), replace=False).tolist()))
    if rng.random() < 0.3:
        sounds = [SOLO[name] for name in SOLO if name != "bass"]
        chosen = {c: int(rng.choice(sounds[int(rng.integers(len(sounds)))])) for c in channels if rng.random() < 0.5}
        song = song.with_programs(chosen)
    return song


def rendered(places: Places, font: str, song: Callable[[], Song], path: str) -> NDArray[np.int16]:
    """The samples of a song with a font, in a room and at a loudness that follow from the path."""
    rng = np.random.default_rng(zlib.crc32(path.encode()))
    file = places.file(FONTS[font].file, FONTS[font].package)
    sound = rendered_midi(song().to_bytes(), file, float(rng.choice([0, 0.2, 0.5, 0.9])), float(rng.uniform(0.1, 0.95)))
    return finished(trimmed(sound)[: round(1.5 * SECONDS[1] * RATE)], rng.uniform(-34, -14))


def trimmed(x: Wave, below: float = 55.0) -> Wave:
    """`x` without a start and an end that are `below` dB under its peak."""
    loud = np.flatnonzero(np.abs(x) > np.abs(x).max() * 10 ** (-below / 20))
    return x[loud[0] : loud[-1] + 1]


def _job(places: Places, path: str, style: str, licence: str, song: Callable[[], Song]) -> Job:
    out = held_out(style) and not style.startswith(TRAINED_SONGS)
    choice = zlib.crc32(path.encode()) >> 8
    font = list(FONTS)[choice % len(FONTS)] if out else TRAINED_FONTS[choice % len(TRAINED_FONTS)]
    split: Split = "val" if out else "train"
    full = f"{path}/{font}"
    parts = [licence, f"{FONTS[font].licence} ({FONTS[font].package})"]
    return Job(
        full,
        "; ".join(filter(None, parts)),
        "music",
        style,
        f"{font}/{style}",
        split,
        partial(rendered, places, font, song, full),
    )


def songs(places: Places, package: str) -> list[Path]:
    """The MIDI files of a package of SONGS, or the modules of one of MODULES."""
    folder = {**SONGS, **MODULES}[package][0]
    suffixes = (".mid",) if package in SONGS else (".mod", ".xm", ".s3m", ".it")
    return [path for suffix in suffixes for path in places.all(suffix, folder)]


def _song_jobs(places: Places, excerpts: int) -> Iterator[Job]:
    known = [
        (package, path.stem, path.read_bytes(), licence)
        for package, (_, licence) in SONGS.items()
        for path in songs(places, package)
    ]
    for wad in WADS:
        found = lumps(places.file(wad, "freedoom").read_bytes()) if excerpts else []
        known += [("freedoom", f"{wad[:-4]}-{name}", data, "BSD-3-Clause") for name, data in found]
    seen: set[bytes] = set()
    for package, name, data, licence in known:
        if data in seen:
            continue
        seen.add(data)
        for number in range(excerpts):
            song = partial(packaged_song, data, number)
            yield _job(
                places, f"midi/{package}/{name}/seed-{number}", f"{package}-{name}", f"{licence} ({package})", song
            )


def lumps(wad: bytes) -> list[tuple[str, bytes]]:
    """The names and bytes of the MIDI files inside a WAD. Raises MidiError for another file."""
    if wad[:4] not in (b"IWAD", b"PWAD"):
        raise MidiError("not a WAD: it begins with neither IWAD nor PWAD")
    found = []
    try:
        count, start = struct.unpack("<II", wad[4:12])
        entries = [struct.unpack_from("<II8s", wad, start + 16 * number) for number in range(min(count, 100_000))]
    except struct.error as error:
        raise MidiError(f"a damaged WAD: {error}") from error
    for place, size, name in entries:
        if wad[place : place + 4] == b"MThd":
            found.append((name.rstrip(b"\0").decode("ascii", "replace").lower(), wad[place : place + size]))
    return found


def _module_jobs(places: Places, excerpts: int) -> Iterator[Job]:
    for package, (_, licence) in MODULES.items():
        for path in songs(places, package):
            split: Split = "val" if held_out(path.stem) else "train"
            for number in range(excerpts):
                render = partial(module_part, path, number)
                yield Job(
                    f"module/{package}/{path.name}/seed-{number}",
                    f"{licence} ({package})",
                    "music",
                    "module",
                    f"{package}/{path.stem}",
                    split,
                    render,
                )


def module_part(path: Path, seed: int) -> NDArray[np.int16]:
    """A random part of a tracker module."""
    rng = np.random.default_rng([seed, zlib.crc32(path.name.encode())])
    sound = trimmed(rendered_module(path))
    length = round(between(rng, *SECONDS) * RATE)
    start = int(rng.integers(0, max(len(sound) - length, 1)))
    return finished(trimmed(sound[start : start + length]), rng.uniform(-34, -14))
