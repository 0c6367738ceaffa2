"""Random but orderly compositions: keys, chord progressions, melodies that repeat their phrases, and textures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .midi import DRUMS, Note, Song, song_of
from .signals import Rng

MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)
DORIAN = (0, 2, 3, 5, 7, 9, 10)
MIXOLYDIAN = (0, 2, 4, 5, 7, 9, 10)
PHRYGIAN = (0, 1, 3, 5, 7, 8, 10)
SCALES = (MAJOR, MAJOR, MAJOR, MINOR, MINOR, DORIAN, MIXOLYDIAN, PHRYGIAN)
PROGRESSIONS = (
    (0, 3, 4, 0), (0, 5, 3, 4), (0, 4, 5, 3), (5, 3, 0, 4), (0, 3, 0, 4), (1, 4, 0, 0), (0, 5, 1, 4), (0, 2, 3, 4),
    (0, 6, 5, 4), (0, 0, 3, 3), (0, 6, 3, 0), (3, 4, 2, 5), (0, 4, 0, 4), (5, 1, 4, 0), (0, 0, 0, 4), (0, 3, 6, 2),
)  # fmt: skip
"""Chords as steps of the scale, counted from 0, one per bar."""
RHYTHMS = {
    4: (
        (1, 1, 1, 1), (2, 1, 1), (1, 0.5, 0.5, 1, 1), (1.5, 0.5, 1, 1), (0.5, 0.5, 1, 2), (3, 1), (4,), (0.5,) * 8,
        (1, 1, 2), (1.5, 1.5, 1),
    ),
    3: ((1, 1, 1), (2, 1), (1.5, 0.5, 1), (3,), (0.5,) * 6, (1, 0.5, 0.5, 1)),
}  # fmt: skip
"""Lengths of the notes of a bar, in beats, for bars of four and of three."""
NAMES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
SOLO = {
    "piano": (0, 1, 3, 4, 5), "harpsichord": (6, 7), "music-box": (8, 9, 10, 11, 12, 14), "organ": (16, 18, 19, 20),
    "accordion": (21, 22, 23), "guitar": (24, 25, 26, 27, 28), "distorted-guitar": (29, 30, 31),
    "bass": (32, 33, 35, 38),
    "strings": (40, 41, 42, 44, 48, 49), "plucked": (45, 46, 105, 106, 107), "choir": (52, 53, 54, 91),
    "brass": (56, 57, 58, 60, 61), "reed": (64, 65, 66, 68, 69, 70, 71), "flute": (72, 73, 74, 75, 77, 78, 79),
    "lead": (80, 81, 82, 84, 87), "pad": (88, 89, 90, 92, 94, 95), "mallet": (13, 108, 114), "bagpipe": (109, 110, 111),
}  # fmt: skip
"""Programs of General MIDI by sound, counted from 0."""


@dataclass(frozen=True)
class Plan:
    """The frame of a piece: key (0 to 11), scale, chords (steps of the scale, one per bar), beats per bar, tempo."""

    key: int
    scale: Sequence[int]
    chords: tuple[int, ...]
    beats: int
    tempo: float

    @property
    def seconds(self) -> float:
        """The length of the piece."""
        return len(self.chords) * self.beats * 60 / self.tempo

    def pitch(self, step: int, octave: int = 5) -> int:
        """The MIDI number of a step of the scale, which may be below 0 or above 6."""
        return 12 * (octave + step // 7) + self.key + self.scale[step % 7]

    def chord(self, bar: int, size: int = 3) -> list[int]:
        """The steps of a bar's chord."""
        return [self.chords[bar] + 2 * k for k in range(size)]


def plan(rng: Rng, seconds: float) -> Plan:
    """A frame of about `seconds`, in sections that repeat (AABA and the like)."""
    beats = int(rng.choice([4, 4, 4, 3]))
    tempo = float(np.exp(rng.uniform(np.log(56), np.log(180))))
    bars = max(4, round(seconds * tempo / 60 / beats))
    sections = [PROGRESSIONS[int(rng.integers(len(PROGRESSIONS)))] for _ in range(2)]
    form = rng.choice(["AABA", "ABAB", "AAAA", "AABB"])
    chords = [chord for letter in str(form) * 32 for chord in sections["AB".index(letter)]][:bars]
    return Plan(int(rng.integers(12)), SCALES[int(rng.integers(len(SCALES)))], tuple(chords), beats, tempo)


def melody(rng: Rng, piece: Plan, rests: float = 0.12, low: int = -2, high: int = 9, longest: float = 4) -> list[Note]:
    """A tune over a piece's chords: chord notes on strong beats, steps between, phrases of four bars that come again.

    `rests` is the share of notes left out; steps stay between `low` and `high`, counted from the key in octave 5;
    lengths are in beats, at most `longest`.
    """
    kinds = [r for r in RHYTHMS[piece.beats] if max(r) <= longest]
    known: dict[tuple[int, ...], list[tuple[float, float, int]]] = {}
    notes: list[Note] = []
    step = int(rng.integers(low, high + 1))
    for bar in range(0, len(piece.chords), 4):
        part = piece.chords[bar : bar + 4]
        if part not in known or rng.random() < 0.2:
            phrase = []
            for inside in range(len(part)):
                at = 0.0
                for length in kinds[int(rng.integers(len(kinds)))]:
                    chord = piece.chord(bar + inside)
                    step += (
                        int(rng.choice([-2, -1, -1, 0, 1, 1, 2])) if rng.random() < 0.9 else int(rng.integers(-4, 5))
                    )
                    if at % 2 == 0:
                        step = min((c + 7 * o for c in chord for o in range(-2, 3)), key=lambda s: abs(s - step))
                    while step > high:
                        step -= 7
                    while step < low:
                        step += 7
                    if rng.random() >= rests:
                        phrase.append((inside * piece.beats + at, float(length), step))
                    at += length
            known[part] = phrase
        notes += [
            Note(bar * piece.beats + start, length * 0.95, piece.pitch(s), int(rng.integers(70, 110)))
            for start, length, s in known[part]
        ]
    return notes


def accompaniment(rng: Rng, piece: Plan, texture: str, octave: int = 4) -> list[Note]:
    """The chords of a piece as one of the textures `block`, `arpeggio`, `strum`, `bass`, `oompah`, `drone`."""
    notes: list[Note] = []
    order = rng.permutation(4)
    soft = int(rng.integers(50, 90))
    for bar in range(len(piece.chords)):
        start, beats = bar * piece.beats, piece.beats
        steps = piece.chord(bar, 4 if rng.random() < 0.2 else 3)
        if texture == "block":
            notes += [Note(start, beats * 0.98, piece.pitch(s, octave), soft) for s in steps]
        elif texture == "arpeggio":
            wide = [*steps[:3], steps[0] + 7]
            notes += [Note(start + k / 2, 0.9, piece.pitch(wide[order[k % 4]], octave), soft) for k in range(2 * beats)]
        elif texture == "strum":
            for beat in range(beats):
                notes += [Note(start + beat + 0.03 * k, 0.8, piece.pitch(s, octave), soft) for k, s in enumerate(steps)]
        elif texture == "bass":
            walk = [steps[0], steps[0] + 1, steps[1], steps[2]] if rng.random() < 0.5 else [steps[0]] * 4
            notes += [Note(start + k, 0.9, piece.pitch(walk[k % 4], octave - 2), soft + 15) for k in range(beats)]
        elif texture == "oompah":
            notes.append(Note(start, 0.9, piece.pitch(steps[0], octave - 1), soft + 10))
            notes += [Note(start + k, 0.5, piece.pitch(s, octave), soft) for k in range(1, beats) for s in steps]
        else:
            notes += [Note(start, beats, piece.pitch(s, octave - 1), soft) for s in (0, 4)]
    return notes


def drums(rng: Rng, piece: Plan) -> list[Note]:
    """A pattern of one bar on the drum channel, repeated with fills."""
    grid = piece.beats * 4
    weights = {
        36: (0.9, 0.15),
        38: (0.1, 0.12),
        42: (0.7, 0.5),
        46: (0.05, 0.05),
        int(rng.integers(43, 80)): (0.2, 0.15),
    }
    pattern = [
        (k / 4, drum, 100 if k % 4 == 0 else 70)
        for drum, (strong, weak) in weights.items()
        for k in range(grid)
        if rng.random() < (strong if k % 8 == (4 if drum == 38 else 0) else weak)
    ] + [(k + 1.0, 38, 95) for k in range(0, piece.beats - 1, 2)]
    return [
        Note(bar * piece.beats + at, 0.1, drum, velocity + int(rng.integers(-12, 12)))
        for bar in range(len(piece.chords))
        for at, drum, velocity in pattern
        if rng.random() < 0.96
    ]


def solo_piece(rng: Rng, piece: Plan, sound: str) -> Song:
    """A piece for one instrument of SOLO: a tune, chords, or both."""
    program = int(rng.choice(SOLO[sound]))
    kind = rng.choice(["both", "both", "tune", "chords"])
    notes: list[Note] = []
    if kind != "chords":
        notes += melody(rng, piece, rng.uniform(0, 0.3))
    if kind != "tune":
        notes += accompaniment(rng, piece, str(rng.choice(["block", "arpeggio", "strum", "bass", "oompah"])))
    shift = int(rng.choice([-12, 0, 0, 12])) if sound != "bass" else -24
    return song_of({0: (program, [_human(rng, note, shift) for note in notes])}, piece.tempo)


def band_piece(rng: Rng, piece: Plan) -> Song:
    """A piece for two to five parts: a tune, chords, bass, a pad or second voice, and drums."""

    def any_of(*sounds: str) -> int:
        return int(rng.choice(SOLO[str(rng.choice(sounds))]))

    textures = ["block", "arpeggio", "strum", "oompah"]
    tune = melody(rng, piece, rng.uniform(0, 0.3))
    parts: dict[int, tuple[int, list[Note]]] = {
        0: (any_of(*(s for s in SOLO if s not in ("bass", "pad"))), tune),
        1: (
            any_of("piano", "guitar", "organ", "accordion", "plucked", "mallet"),
            accompaniment(rng, piece, str(rng.choice(textures))),
        ),
    }
    if rng.random() < 0.6:
        parts[2] = (any_of("bass"), accompaniment(rng, piece, "bass"))
    if rng.random() < 0.5:
        parts[3] = (
            any_of("strings", "choir", "pad", "brass"),
            accompaniment(rng, piece, str(rng.choice(["block", "drone"])), 5),
        )
    if rng.random() < 0.5:
        parts[DRUMS] = (0, drums(rng, piece))
    return song_of({c: (p, [_human(rng, n, 0) for n in notes]) for c, (p, notes) in parts.items()}, piece.tempo)


def chord_sheet(rng: Rng, piece: Plan, groove: str, seed: int) -> str:
    """The text of a file for MMA: a groove, and a chord name per bar."""
    lines = [f"RndSeed {seed}", f"Tempo {round(piece.tempo)}", f"Groove {groove}"]
    for bar in range(len(piece.chords)):
        root, third, fifth, seventh = (piece.pitch(s, 0) for s in piece.chord(bar, 4))
        name = NAMES[root % 12]
        if fifth - root == 6:
            name += "m7b5"
        else:
            name += "m" * (third - root == 3)
            if rng.random() < 0.4:
                name += "7" if seventh - root == 10 else "M7" if third - root == 4 else ""
        lines.append(f"{bar + 1} {name}")
    return "\n".join(lines) + "\n"


def _human(rng: Rng, note: Note, shift: int) -> Note:
    """A note a little off its time and strength, moved by `shift` semitones."""
    pitch = note.pitch + shift
    return Note(
        max(0.0, note.start + float(rng.normal(0, 0.012))), note.length, pitch, note.velocity + int(rng.integers(-6, 7))
    )
