"""Singing: speech whose vowels are stretched to the notes of a tune, with glides and vibrato, alone or accompanied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..pool import RATE, Split
from .composing import SOLO, Plan, accompaniment, chord_sheet, drums, melody, plan
from .jobs import Job, finished
from .midi import DRUMS, Note, Song, read_song, song_of
from .music import FONTS, family, grooves, split_of, trimmed
from .programs import Places, SynthesisError, accompanied_midi, rendered_midi
from .recorded import Recordings
from .signals import Rng, Wave, between, level
from .texts import lyrics
from .vocoder import HOP, Analysis, analyse, resynthesise
from .voices import LICENCES, Speaker, speaker, spoken

PACKAGE = "synthesis-singing"
VERSION = "1"
SECONDS = (12.0, 40.0)
FRAME = HOP / RATE
"""Seconds between the frames of the vocoder."""
SPLIT_FONTS: Mapping[Split, Sequence[str]] = {
    "train": ("fluid-gm", "timgm6mb", "fluid-gm", "timgm6mb", "musescore"),
    "val": ("fluid-gm",),
    "test": ("opl3",),
}
"""The soundfonts of accompaniments."""
DIP, FAINTEST, SHORTEST = 0.7, 3.5, 6
"""Syllables are parted by a dip of 6 dB. Vowels of less than 6 frames, or 30 dB under the loudest, are left out."""


@dataclass(frozen=True)
class Sung:
    """A note to sing: start and length in seconds, pitch in MIDI numbers."""

    start: float
    length: float
    pitch: float


def hertz(pitch: float) -> float:
    """The frequency of a MIDI number."""
    return float(440 * 2 ** ((pitch - 69) / 12))


def nuclei(voice: Analysis) -> list[tuple[int, int]]:
    """The vowels of speech: first and last frame of voiced runs, divided where the loudness dips between two peaks."""
    loud = voice.envelope[:, 4:200].max(axis=1)  # 60 Hz to 3 kHz
    loud = np.convolve(np.pad(loud, 3, "edge"), np.ones(7) / 7, "valid")
    edges = np.flatnonzero(np.diff(np.r_[0, (~np.isnan(voice.pitch)).astype(int), 0]))
    found = [run for first, end in zip(edges[::2], edges[1::2], strict=True) for run in _parted(loud, first, end)]
    strongest = max((loud[a : b + 1].max() for a, b in found), default=0.0)
    return [(a, b) for a, b in found if loud[a : b + 1].max() > strongest - FAINTEST]


def _parted(loud: Wave, first: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of a voiced run between its dips, as first and last frame."""
    cuts, top, low = [int(first)], loud[first], int(first)
    for frame in range(int(first), int(end)):
        low = frame if loud[frame] < loud[low] else low
        top = max(top, loud[frame])
        if min(top, loud[frame]) - loud[low] > DIP and frame > low >= cuts[-1] + SHORTEST:
            cuts.append(low)
            top, low = loud[frame], frame
    cuts.append(int(end) - 1)
    yield from ((a, b) for a, b in pairwise(cuts) if b - a >= SHORTEST)


def time_map(vowels: Sequence[tuple[int, int]], notes: Sequence[Sung], last: int) -> tuple[list[float], list[float]]:
    """The corners of the map from time in seconds to frames of the speech: note i holds vowel i, from its start.

    The consonants between two vowels keep their own length, at most half of the note before them; a rest after a note
    stops them. `last` is the last frame of the speech.
    """
    lead = min(vowels[0][0], 25)
    times, frames = [max(notes[0].start - lead * FRAME, 0.0)], [float(vowels[0][0] - lead)]
    for number, note in enumerate(notes):
        start, end = vowels[number]
        final = number + 1 == len(notes)
        following = min(end + 25, last) if final else vowels[number + 1][0]
        own = (following - end) * FRAME
        until = note.start + note.length + own if final else notes[number + 1].start
        consonants = min(own, (until - note.start) * 0.5)
        onset = min(3, (end - start) // 3)  # the beginning of a vowel keeps its pace, its middle is stretched
        held = max(min(note.start + note.length, until - consonants), note.start + (onset + 1) * FRAME)
        times += [note.start, note.start + onset * FRAME, held]
        frames += [float(start), float(start + onset), float(end)]
        if final or until - (note.start + note.length) > consonants + 0.05:
            times.append(held + min(max(following - end, 1), 20) * FRAME)
            frames.append(float(min(following, end + 20)))
    return list(np.maximum.accumulate(times)), frames


def pitch_line(rng: Rng, notes: Sequence[Sung], count: int) -> Wave:
    """The sung pitch in Hz of `count` frames: steps with glides, vibrato that sets in after 0.25 s, and small drift."""
    depth, rate, glide = between(rng, 0.15, 0.7), between(rng, 4.6, 6.8), between(rng, 0.03, 0.12)
    times = np.arange(count) * FRAME
    order = np.searchsorted([note.start for note in notes], times + glide / 2, "right") - 1
    pitches = np.array([note.pitch for note in notes])
    line = pitches[np.clip(order, 0, None)]
    size = max(3, round(glide / FRAME) | 1)
    window = np.hanning(size + 2)[1:-1]
    line = np.convolve(np.pad(line, size // 2, "edge"), window / window.sum(), "valid")
    starts = np.array([note.start for note in notes])[np.clip(order, 0, None)]
    lengths = np.array([note.length for note in notes])[np.clip(order, 0, None)]
    swell = np.clip((times - starts - 0.25) / 0.3, 0, 1) * (lengths > 0.45)
    vibrato = depth * swell * np.sin(2 * np.pi * np.cumsum(rate * (1 + rng.normal(0, 0.02, count))) * FRAME)
    drift = np.convolve(rng.normal(0, 0.25, count + 40), np.hanning(41) / np.hanning(41).sum(), "valid")[:count]
    return np.asarray(440 * 2 ** ((line + vibrato + drift - 69) / 12))


def sing(rng: Rng, speech: Wave, notes: Sequence[Sung], size: float = 1.0) -> Wave:
    """Speech, float64 (n,) at RATE, sung on the notes; as many syllables as there are, again from the first if needed.

    Returns float64 (m,) at RATE, from time 0 of the notes. Empty if the speech has no vowels.
    """
    voice = analyse(speech)
    vowels = nuclei(voice)
    if not vowels or not notes:
        return np.zeros(0)
    count = round((notes[-1].start + notes[-1].length + 0.4) / FRAME)
    at, gate = np.zeros(count), np.zeros(count)
    times = np.arange(count) * FRAME
    for first in range(0, len(notes), len(vowels)):
        some = list(notes[first : first + len(vowels)])
        corners, frames = time_map(vowels[: len(some)], some, len(voice) - 1)
        inside = (times >= corners[0]) & (times <= corners[-1])
        at[inside] = np.interp(times[inside], corners, frames)
        gate[inside] = 1
    for note, following in pairwise(notes):  # rests
        if following.start - note.start - note.length > 0.25:
            gate[(times > note.start + note.length + 0.12) & (times < following.start - 0.2)] = 0
    pitch = pitch_line(rng, notes, count)
    where = np.clip(np.rint(at).astype(int), 0, len(voice) - 1)
    voiced = ~np.isnan(voice.pitch[where])
    calm = Analysis(voice.pitch, voice.envelope, voice.breath ** rng.uniform(1.2, 2.2))
    sound = resynthesise(rng, calm, at, np.where(voiced, pitch, np.nan), size)
    shape = np.convolve(np.repeat(gate, HOP), np.hanning(320) / np.hanning(320).sum(), "same")
    return sound * shape


def sung_notes(tune: Sequence[Note], tempo: float, base: float) -> list[Sung]:
    """A tune's notes in seconds, moved by octaves so that its middle is near `base` (a MIDI number)."""
    if not tune:
        return []
    middle = float(np.median([note.pitch for note in tune]))
    shift = 12 * round((base - middle) / 12)
    beat = 60 / tempo
    out: list[Sung] = []
    for note in tune:
        if out and note.start * beat < out[-1].start + 0.09:
            continue
        out.append(Sung(note.start * beat, note.length * beat, note.pitch + shift))
    return out


@dataclass(frozen=True)
class Singer:
    """A voice that sings: a synthetic speaker, or a group of recorded speech."""

    synthetic: Speaker | None
    recordings: Recordings | None = None
    group: str = ""

    @property
    def source(self) -> tuple[str, str, str]:
        """The voice's name in paths, its group of the split, and its licence."""
        if self.synthetic is not None:
            return self.synthetic.name, self.synthetic.group, LICENCES[self.synthetic.engine]
        assert self.recordings is not None
        one = self.recordings.source(self.group)
        return f"recorded/{self.group}", self.group, f"{one.licence} ({one.package})"

    def speech(self, rng: Rng, count: int) -> Wave:
        """Speech of about `count` words: float64 (n,) at RATE."""
        if self.synthetic is not None:
            return spoken(rng, self.synthetic, lyrics(rng, self.synthetic.language, count))
        assert self.recordings is not None
        return self.recordings.said(rng, self.group)


def singer(rng: Rng, split: Split, recordings: Recordings | None) -> Singer:
    """A random voice of a split: recorded every other time, if there are recordings of the split."""
    names = recordings.names(split) if recordings is not None else []
    if names and rng.random() < 0.5:
        return Singer(None, recordings, str(rng.choice(names)))
    return Singer(speaker(rng, split))


def jobs(
    places: Places, recordings: Recordings | None = None, *, train: int = 170, val: int = 24, test: int = 24
) -> list[Job]:
    """The jobs of singing; each split has voices, melodies and accompaniments of its own."""
    numbers: dict[Split, int] = {"train": train, "val": val, "test": test}
    return [
        _job(places, recordings, split, seed)
        for seed in range(max(numbers.values()))
        for split, number in numbers.items()
        if seed < number
    ]


def _job(places: Places, recordings: Recordings | None, split: Split, seed: int) -> Job:
    rng = np.random.default_rng([seed, {"train": 21, "val": 22, "test": 23}[split]])
    who = singer(rng, split, recordings)
    name, group, licence = who.source
    font = str(rng.choice(SPLIT_FONTS[split])) if rng.random() < 0.55 else ""
    kind = "accompanied" if font else "a cappella"
    path = f"{name}/{kind.replace(' ', '-')}/{split}-{seed}" + f"/{font}" * bool(font)
    if font:
        licence += f"; GPL-2+ (MMA); {FONTS[font].licence} ({FONTS[font].package})"
    return Job(path, licence, "singing", kind, group, split, partial(song, places, who, split, seed, font))


def song(places: Places, who: Singer, split: Split, seed: int, font: str) -> NDArray[np.int16]:
    """A song of a voice, with an accompaniment if there is a font: int16 (n,) at RATE."""
    rng = np.random.default_rng([seed, {"train": 24, "val": 25, "test": 26}[split]])
    piece = plan(rng, between(rng, *SECONDS))
    piece = replace(piece, tempo=float(round(np.clip(piece.tempo, 56, 140))))
    tune = melody(rng, piece, rng.uniform(0.05, 0.3), -1, 8)
    notes = sung_notes(tune, piece.tempo, rng.uniform(52, 72))
    voice = choir(rng, who, notes)
    if not np.abs(voice).max(initial=0) > 0:
        raise SynthesisError(f"{who.source[0]}: no vowels to sing were found")
    if not font:
        return finished(trimmed(voice), rng.uniform(-34, -16))
    band = backing(rng, places, piece, tune, font, split)
    return finished(mixed(voice, band, rng.uniform(-4, 10)), rng.uniform(-34, -16))


def choir(rng: Rng, who: Singer, notes: Sequence[Sung]) -> Wave:
    """A voice alone, doubled, or a small choir of it, with sizes, times and tuning that differ."""
    speech = who.speech(rng, max(4, min(len(notes), 40)))
    count = int(rng.choice([1, 1, 1, 1, 1, 2, 3, 4]))
    third = rng.random() < 0.4
    parts = []
    for number in range(count):
        late = abs(rng.normal(0, 0.02)) if number else 0.0
        detune = rng.normal(0, 0.08) if number else 0.0
        octave = -12 if number and rng.random() < 0.3 else 0
        interval = 4 if third and number % 2 else 0
        moved = [Sung(n.start + late, n.length, n.pitch + detune + octave + interval) for n in notes]
        parts.append(sing(rng, speech, moved, between(rng, 0.85, 1.2)))
    total = np.zeros(max(map(len, parts)))
    for part in filter(len, parts):
        total[: len(part)] += level(part)
    return total


def backing(rng: Rng, places: Places, piece: Plan, tune: Sequence[Note], font: str, split: Split) -> Wave:
    """The accompaniment of a piece: a groove of MMA of the split, or a few composed parts."""
    if rng.random() < 0.5:
        names = [name for name in grooves(places) if split_of(family(name)) == split]
        midi = read_song(accompanied_midi(chord_sheet(rng, piece, str(rng.choice(names)), 1 + int(rng.integers(9999)))))
        if rng.random() < 0.3:
            midi = midi.without({DRUMS})
    else:
        midi = _parts(rng, piece, tune)
    file = places.file(FONTS[font].file, FONTS[font].package)
    return rendered_midi(midi.to_bytes(), file, float(rng.choice([0, 0.3, 0.7])), float(rng.uniform(0.2, 0.9)))


def _parts(rng: Rng, piece: Plan, tune: Sequence[Note]) -> Song:
    sound = SOLO[str(rng.choice(["piano", "guitar", "organ", "accordion", "plucked", "strings", "pad"]))]
    parts: dict[int, tuple[int, Sequence[Note]]] = {
        0: (
            int(rng.choice(sound)),
            accompaniment(rng, piece, str(rng.choice(["block", "arpeggio", "strum", "oompah"]))),
        )
    }
    if rng.random() < 0.5:
        parts[1] = (int(rng.choice(SOLO["bass"])), accompaniment(rng, piece, "bass"))
    if rng.random() < 0.25:
        parts[2] = (int(rng.choice(SOLO["flute"])), tune)
    if rng.random() < 0.4:
        parts[DRUMS] = (0, drums(rng, piece))
    return song_of(parts, piece.tempo)


def mixed(voice: Wave, band: Wave, above: float) -> Wave:
    """A voice over an accompaniment, `above` it in dB of RMS, both from time 0, as long as the voice and 0.5 s."""
    n = len(voice) + RATE // 2
    total = np.zeros(n)
    total[: len(voice)] = level(voice) * 10 ** (above / 20)
    part = band[:n]
    total[: len(part)] += level(part)
    return total
