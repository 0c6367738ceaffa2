"""The programs and files that synthesis uses: finding them, running them, and one line on what to install."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from manifests.errors import LpseError

from ..pool import RATE
from .signals import Wave

SYSTEM = Path("/usr/share")
TIMEOUT = 300.0
"""Seconds that a program may take for one source."""


class SynthesisError(LpseError):
    """A program or file that is missing or failed; the message names it and the cure."""


@dataclass(frozen=True)
class Places:
    """The folders in which files of packages are searched: unpacked packages, and the system's shared files."""

    roots: tuple[Path, ...] = (SYSTEM,)

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for root in self.roots:
            folders = (
                [root] if root != SYSTEM else [root / "sounds", root / "games", root / "mma", root / "planetblupi"]
            )
            for folder in folders:
                for path in sorted(folder.rglob("*")):
                    if path.suffix.lower() in (".sf2", ".sf3", ".mid", ".wad", ".mod", ".xm", ".s3m", ".it", ".mma"):
                        found.setdefault(path.name, []).append(path)
        return found

    def file(self, name: str, package: str) -> Path:
        """The file of this name. Raises SynthesisError with the Debian package that contains it."""
        if name not in self._files:
            raise SynthesisError(f"{name} is missing; install it with: apt-get install {package}")
        return self._files[name][0]

    def has(self, name: str) -> bool:
        """True if there is a file of this name."""
        return name in self._files

    def all(self, suffix: str, inside: str) -> list[Path]:
        """The files with a suffix whose path contains the folder name `inside`, sorted by name."""
        found = [p for paths in self._files.values() for p in paths if p.suffix.lower() == suffix and inside in p.parts]
        return sorted({p.name: p for p in sorted(found, reverse=True)}.values(), key=lambda p: p.name)


def program(name: str, cure: str) -> str:
    """The path of a program. Raises SynthesisError with the command that installs it."""
    found = shutil.which(name)
    if found is None:
        raise SynthesisError(f"the program {name} is missing; install it with: {cure}")
    return found


def run(command: Sequence[str], folder: Path, text: str | None = None) -> None:
    """Run a command in a folder, with `text` as its input. Raises SynthesisError with its last line if it fails."""
    try:
        done = subprocess.run(
            command, cwd=folder, input=text, capture_output=True, text=True, errors="replace", timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired as error:
        raise SynthesisError(f"{Path(command[0]).name} took more than {TIMEOUT:.0f} s") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise SynthesisError(f"{Path(command[0]).name} failed: {lines[-1][:200]}")


def read_sound(path: Path) -> Wave:
    """The sound of a file that a program wrote: mono float64 (n,) at RATE. Raises SynthesisError if it is empty."""
    import soundfile
    import soxr

    try:
        sound, rate = soundfile.read(path, dtype="float64", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise SynthesisError(f"{path.name} cannot be read: {error}") from error
    mono = sound.mean(axis=1)
    if not len(mono) or not np.abs(mono).max() > 1e-6:
        raise SynthesisError(f"{path.name} is silent")
    return np.asarray(soxr.resample(mono, rate, RATE) if rate != RATE else mono, float)


def rendered_midi(midi: bytes, font: Path, reverb: float = 0.2, room: float = 0.4) -> Wave:
    """The sound of a MIDI file by FluidSynth with a soundfont: float64 (n,) at RATE; `reverb` and `room` are 0 to 1."""
    fluidsynth = program("fluidsynth", "apt-get install fluidsynth")
    with TemporaryDirectory() as folder:
        (Path(folder) / "song.mid").write_bytes(midi)
        options = {
            "synth.reverb.active": int(reverb > 0),
            "synth.reverb.level": round(reverb, 3),
            "synth.reverb.room-size": round(room, 3),
            "synth.chorus.active": 0,
            "audio.file.format": "float",
            "synth.dynamic-sample-loading": 1,  # decodes only the samples that the song plays
        }
        settings = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        run(
            [
                fluidsynth,
                "-ni",
                "-q",
                "-g",
                "0.4",
                "-r",
                "32000",
                *settings,
                "-T",
                "wav",
                "-F",
                "song.wav",
                str(font),
                "song.mid",
            ],
            Path(folder),
        )
        return read_sound(Path(folder) / "song.wav")


def accompanied_midi(sheet: str) -> bytes:
    """The MIDI file that MMA makes of a chord sheet."""
    mma = program("mma", "apt-get install mma")
    with TemporaryDirectory() as folder:
        (Path(folder) / "song.mma").write_text(sheet)
        run([mma, "-w", "-f", "song.mid", "song.mma"], Path(folder))
        return (Path(folder) / "song.mid").read_bytes()


def rendered_module(path: Path) -> Wave:
    """The sound of a tracker module by openmpt123, played once: float64 (n,) at RATE."""
    openmpt = program("openmpt123", "apt-get install openmpt123")
    with TemporaryDirectory() as folder:
        copy = Path(folder) / f"module{path.suffix}"
        shutil.copyfile(path, copy)
        run([openmpt, "--quiet", "--render", "--samplerate", "32000", "--repeat", "0", copy.name], Path(folder))
        return read_sound(copy.with_name(f"{copy.name}.wav"))
