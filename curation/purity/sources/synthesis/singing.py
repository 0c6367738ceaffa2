"""Singing: speech whose vowels are stretched to the notes of a melody, with glides and vibrato, alone or accompanied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..pool import RATE, Split
from .composing import SOLO, Plan, accompaniment, chord_sheet, drums, melody, plan
from .jobs import Job, finished
from .midi import DRUMS, Note, Song, read_song, song_of
from .music import FONTS, family, grooves, held_out
from .programs import Places, accompanied_midi, rendered_midi
from .signals import Rng, Wave, between, level
from .texts import lyrics
from .vocoder import HOP, Analysis, analyse, resynthesise
from .voices import LICENCES, Speaker, speaker, spoken

PACKAGE = "synthesis-singing"
VERSION = "1"
SECONDS = (12.0, 40.0)
FRAME = HOP / RATE


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
    voiced = ~np.isnan(voice.pitch)
    edges = np.flatnonzero(np.diff(np.r_[0, voiced.astype(int), 0]))
    found = []
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        cuts, peak, low = [int(first)], loud[first], first
        top = loud[first]
        for frame in range(first, end):
            if loud[frame] < loud[low] or frame == first:
                low = frame
            if loud[frame] > top:
                top = loud[frame]
            # a dip of 0.7 (6 dB) under both neighbours parts two syllables
            if min(top, loud[frame]) - loud[low] > 0.7 and low - cuts[-1] >= 6 and frame > low:
                cuts.append(int(low))
                top, low = loud[frame], frame
        del peak
        cuts.append(int(end) - 1)
        found += [(a, b) for a, b in zip(cuts, cuts[1:], strict=False) if b - a >= 6]
    strongest = max((loud[a : b + 1].max() for a, b in found), default=0.0)
    return [(a, b) for a, b in found if loud[a : b + 1].max() > strongest - 3.5]


def time_map(vowels: Sequence[tuple[int, int]], notes: Sequence[Sung], last: int) -> tuple[list[float], list[float]]:
    """The corners of the map from time in seconds to frames of the speech: each note holds a vowel, from its start.

    The consonants between two vowels keep their own length, at most half of the note before them.
    """
    times, frames = [0.0], [0.0]
    first = vowels[0][0]
    lead = min(first, 25)
    begin = max(notes[0].start - lead * FRAME, 0.0)
    times, frames = [begin], [float(first - lead)]
    for number, note in enumerate(notes):
        start, end = vowels[number]
        following = vowels[number + 1][0] if number + 1 < len(notes) else min(end + 25, last)
        until = (
            notes[number + 1].start if number + 1 < len(notes) else note.start + note.length + (following - end) * FRAME
        )
        between_vowels = min((following - end) * FRAME, (until - note.start) * 0.5)
        # the beginning of a vowel keeps its pace, its middle is stretched
        onset = min(3, (end - start) // 3)
        times += [
            note.start,
            note.start + onset * FRAME,
            max(min(note.start + note.length, until - between_vowels), note.start + (onset + 1) * FRAME),
        ]
        frames += [float(start), float(start + onset), float(end)]
        if number + 1 == len(notes) or until - (note.start + note.length) > between_vowels + 0.05:  # a rest follows
            times.append(times[-1] + min(max(following - end, 1), 20) * FRAME)
            frames.append(float(min(following, end + 20)))
    return list(np.maximum.accumulate(times)), frames


def pitch_line(rng: Rng, notes: Sequence[Sung], count: int) -> Wave:
    """The sung pitch in Hz of `count` frames: steps with glides, vibrato that sets in after 0.25 s, and small drift."""
    line = np.zeros(count)
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
    for note, following in zip(notes, notes[1:], strict=False):  # rests
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
    middle = float(np.median([note.pitch for note in tune]))
    shift = 12 * round((base - middle) / 12)
    beat = 60 / tempo
    out: list[Sung] = []
    for note in tune:
        if out and note.start * beat < out[-1].start + 0.09:
            continue
        out.append(Sung(note.start * beat, note.length * beat, note.pitch + shift))
    return out


def jobs(places: Places, *, train: int = 170, val: int = 24, test: int = 24) -> Iterator[Job]:
    """Yield the jobs of singing; each split has voices, melodies and accompaniments of its own."""
    numbers: dict[Split, int] = {"train": train, "val": val, "test": test}
    for seed in range(max(numbers.values())):
        for split, number in numbers.items():
            if seed < number:
                yield _job(places, split, seed)


def _job(places: Places, split: Split, seed: int) -> Job:
    rng = np.random.default_rng([seed, {"train": 21, "val": 22, "test": 23}[split]])
    who = speaker(rng, split)
    accompanied = rng.random() < 0.55
    font = str(
        rng.choice({"train": ["fluid-gm", "timgm6mb", "musescore"], "val": ["fluid-gm"], "test": ["opl3"]}[split])
    )
    kind = "accompanied" if accompanied else "a cappella"
    path = f"{who.name}/{kind.replace(' ', '-')}/{split}-{seed}" + (f"/{font}" if accompanied else "")
    licence = LICENCES[who.engine]
    if accompanied:
        licence += f"; GPL-2+ (MMA); {FONTS[font].licence} ({FONTS[font].package})"
    return Job(
        path,
        licence,
        "singing",
        kind,
        who.group,
        split,
        partial(song, places, who, split, seed, font if accompanied else ""),
    )


def song(places: Places, who: Speaker, split: Split, seed: int, font: str) -> NDArray[np.int16]:
    """A song of a voice, with an accompaniment if there is a font: int16 (n,) at RATE."""
    rng = np.random.default_rng([seed, {"train": 24, "val": 25, "test": 26}[split]])
    piece = plan(rng, between(rng, *SECONDS))
    piece = Plan(piece.key, piece.scale, piece.chords, piece.beats, float(round(np.clip(piece.tempo, 56, 140))))
    tune = melody(rng, piece, rng.uniform(0.05, 0.3), -1, 8)
    if not tune:
        tune = melody(rng, piece, 0.0, -1, 8)
    notes = sung_notes(tune, piece.tempo, rng.uniform(52, 72))
    voice = choir(rng, who, notes)
    if not font:
        return finished(voice, rng.uniform(-34, -16))
    band = backing(rng, places, piece, tune, font, split)
    return finished(mixed(voice, band, rng.uniform(-4, 10)), rng.uniform(-34, -16))


def choir(rng: Rng, who: Speaker, notes: Sequence[Sung]) -> Wave:
    """A voice alone, doubled, or a small choir of it, with sizes, times and tuning that differ."""
    text = lyrics(rng, who.language, max(4, min(len(notes), 40)))
    speech = spoken(rng, who, text)
    count = int(rng.choice([1, 1, 1, 1, 2, 3, 5]))
    third = rng.random() < 0.4
    parts = []
    for number in range(count):
        late = abs(rng.normal(0, 0.02)) if number else 0.0
        detune = rng.normal(0, 0.08) if number else 0.0
        octave = -12 if number and rng.random() < 0.3 else 0
        interval = 4 if third and number % 2 else 0
        moved = [Sung(n.start + late, n.length, n.pitch + detune + octave + interval) for n in notes]
        parts.append(sing(rng, speech, moved, between(rng, 0.85, 1.2)))
    longest = max(map(len, parts))
    total = np.zeros(longest)
    for part in parts:
        total[: len(part)] += level(part) if len(part) else part
    return total


def backing(rng: Rng, places: Places, piece: Plan, tune: Sequence[Note], font: str, split: Split) -> Wave:
    """The accompaniment of a piece: a groove of MMA of the split, or a few composed parts."""
    if rng.random() < 0.5:
        names = [name for name in grooves(places) if held_out(family(name)) == (split != "train")]
        names = names if split == "train" else names[split == "test" :: 2]
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
