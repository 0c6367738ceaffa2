"""Synthetic voices: eSpeak NG in many languages and timbres, flite, and hibari; the split that each belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ..pool import Split
from .programs import program, read_sound, run
from .signals import Rng, Wave
from .texts import languages

ESPEAK: Mapping[Split, str] = {
    "train": "m1 m2 m3 m7 f1 f2 f5 klatt klatt2 klatt4 klatt6 Alex Annie Denis Gene Jacky Lee Marco Michael anika "
    "antonio belinda boris david edward grandma grandpa gustave iven john kaukovalta linda max michel norbert paul "
    "quincy robert sandro steph travis whisper zac",
    "val": "m4 f3 klatt3 Andy Mike caleb steph2 miguel aunty",
    "test": "m5 m8 f4 klatt5 Alicia Hugo adam ed shelby victor",
}
"""The timbres of eSpeak NG by split; those of machines and monsters are left out."""
FLITE: Mapping[Split, Sequence[str]] = {"train": ("slt", "kal16"), "val": ("awb",), "test": ("rms",)}
HIBARI = "pip install hibari-tts==0.2.1"
"""Installs the one voice that sounds natural; its weights lie inside the package."""
LICENCES = {"espeak-ng": "GPL-3+ (espeak-ng)", "flite": "BSD-like (flite)", "hibari": "Apache-2.0 (hibari-tts)"}


@dataclass(frozen=True)
class Speaker:
    """A synthetic voice: the engine, its timbre, its language."""

    engine: str
    timbre: str
    language: str

    @property
    def name(self) -> str:
        """The voice as a path: engine/language/timbre."""
        return f"{self.engine}/{self.language}/{self.timbre}"

    @property
    def group(self) -> str:
        """The unit of splits: the engine and the timbre, in all languages."""
        return f"{self.engine}/{self.timbre}"


def speaker(rng: Rng, split: Split) -> Speaker:
    """A random voice of a split; eSpeak NG two times in three, flite and hibari (training alone) otherwise."""
    draw = rng.random()
    if draw < 0.12 and FLITE[split]:
        return Speaker("flite", str(rng.choice(FLITE[split])), "en-us")
    if draw < 0.34 and split == "train":
        return Speaker("hibari", "heart", "en-us")
    return Speaker("espeak-ng", str(rng.choice(ESPEAK[split].split())), str(rng.choice(languages())))


def spoken(rng: Rng, who: Speaker, text: str) -> Wave:
    """A text as spoken by a voice, at a random pace and height: float64 (n,) at RATE.

    Raises SynthesisError if the program is missing or fails.
    """
    with TemporaryDirectory() as folder:
        if who.engine == "espeak-ng":
            espeak = program("espeak-ng", "apt-get install espeak-ng")
            options = [
                "-s",
                str(rng.integers(120, 200)),
                "-p",
                str(rng.integers(20, 80)),
                "-g",
                str(rng.integers(0, 8)),
            ]
            command = [espeak, "-v", f"{who.language}+{who.timbre}", *options, "-w", "said.wav", "--stdin"]
            run(command, Path(folder), text)
        elif who.engine == "flite":
            flite = program("flite", "apt-get install flite")
            stretch = f"duration_stretch={rng.uniform(0.85, 1.35):.2f}"
            run([flite, "-voice", who.timbre, "--setf", stretch, "-t", text, "-o", "said.wav"], Path(folder))
        else:
            hibari = program("hibari", HIBARI)
            run([hibari, text, "--speed", f"{rng.uniform(0.75, 1.3):.2f}", "-o", "said.wav"], Path(folder))
        return read_sound(Path(folder) / "said.wav")
