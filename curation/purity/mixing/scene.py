"""Scenes: one to four layers of sound effects, mostly with speech, singing or music under them, and exact labels."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...detectors.purity.frontend import HOP
from ..sources.pool import RATE, Kind
from .acoustics import Response, Sound, band_limit, clipped, equalizer, noise, room
from .codecs import encoded, narrowed
from .draw import LONG, Drawer, faded, filled, phrases, scattered
from .levels import active, decibels, frame_powers, smoothed

LABELS: tuple[Kind, ...] = ("speech", "singing", "music")
SILENT = -40.0  # dB of the level where there is nothing
LEVEL_FRAMES = 13  # about 1 s, over which a frame's level is taken
AUDIBLE = (-26.0, -18.0)  # dB: below the first, nobody can tell; weights rise up to the second


@dataclass(frozen=True)
class MixRules:
    """Chances and ranges of scenes. Levels are in dB over the sound effects; ranges are (least, most)."""

    pure: float = 0.35
    faint: float = 0.6
    faint_db: tuple[float, float] = (-15.0, 0.0)
    faintest: float = 0.15
    faintest_db: tuple[float, float] = (-20.0, -15.0)
    loud_db: tuple[float, float] = (0.0, 20.0)
    kinds: tuple[tuple[float, tuple[Kind, ...]], ...] = (
        (0.40, ("music",)), (0.36, ("speech",)), (0.10, ("singing",)), (0.14, ("music", "speech")),
    )  # fmt: skip
    throughout: float = 0.25
    shortest: float = 1.0
    codec: float = 0.08
    narrow: float = 0.05
    band: float = 0.15
    clip: float = 0.05
    gain_db: tuple[float, float] = (-45.0, 0.0)


class Labels(NamedTuple):
    """Per frame of HOP samples, each (frames, 3) in the order of LABELS.

    `present`: 1 where there is any of it. `weights`: 0 where the label is unknown. `levels`: dB over the sound effects.
    """

    present: NDArray[np.float32]
    weights: NDArray[np.float32]
    levels: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Scene:
    """A mixture (samples,) at RATE with its labels; `sources` are the pool's indices of the effects in it."""

    sound: Sound = field(repr=False)
    labels: Labels = field(repr=False)
    sources: tuple[int, ...]

    def without_sound(self) -> Scene:
        """The same with no samples."""
        return replace(self, sound=np.zeros(0, np.float32))


@dataclass(frozen=True)
class Event:
    """A contaminant: its kind, first and last frame, and level in dB over the effects of the same time."""

    kind: Kind
    begin: int
    end: int
    level_db: float


def scene(rng: np.random.Generator, drawer: Drawer, frames: int, rules: MixRules) -> Scene:
    """A random scene of this number of frames; the same for the same generator state, pool and rules."""
    bed, used = make_bed(rng, drawer, frames * HOP)
    return mixed(rng, drawer, bed, used, draw_events(rng, drawer, frames, rules), rules)


def draw_events(rng: np.random.Generator, drawer: Drawer, frames: int, rules: MixRules) -> list[Event]:
    """The contaminants of a scene: none, one, or two kinds at their own times."""
    if rng.random() < rules.pure:
        return []
    chances = np.cumsum([chance for chance, _ in rules.kinds])
    kinds = rules.kinds[int(np.searchsorted(chances, rng.random() * chances[-1], "right"))][1]
    events = []
    for kind in kinds:
        if not drawer.has(kind):
            continue
        begin, end = 0, frames
        if rng.random() >= rules.throughout:
            least = rules.shortest * RATE / HOP
            length = round(float(np.exp(rng.uniform(np.log(least), np.log(frames)))))
            begin = int(rng.integers(-length // 4, max(1, frames - 3 * length // 4)))
            begin, end = max(begin, 0), min(begin + length, frames)
        chance = rng.random()
        low, high = rules.loud_db
        if chance < rules.faint:
            low, high = rules.faint_db
        elif chance < rules.faint + rules.faintest:
            low, high = rules.faintest_db
        events.append(Event(kind, begin, end, float(rng.uniform(low, high))))
    return events


def make_bed(rng: np.random.Generator, drawer: Drawer, samples: int) -> tuple[Sound, tuple[int, ...]]:
    """Sound effects (samples,) in one to four layers, RMS 0.1, and the pool's indices of them."""
    bed = np.zeros(samples, np.float32)
    used = []
    for layer in range(1 + int(np.searchsorted([0.4, 0.75, 0.92], rng.random(), "right"))):
        index = drawer.index(rng, "effects")
        used.append(index)
        seconds = drawer.pool.sources[index].seconds
        long = rng.random() < (0.85 if seconds >= LONG else 0.3 if seconds > 1 else 0.1)
        sound = (filled if long else scattered)(rng, drawer, index, samples)
        sound = _shaped(rng, sound, equalize=0.5, limit=0.1, reverberate=0.25)
        power = smoothed(np.mean(np.square(sound.reshape(-1, HOP)), axis=1), LEVEL_FRAMES)
        loud = float(np.sqrt(np.percentile(power, 90))) + 1e-9
        bed += sound * np.float32((1.0 if layer == 0 else 10 ** (rng.uniform(-15, 3) / 20)) / loud)
    if rng.random() < 0.5:  # the recorder's and the place's own noise
        bed += noise(rng, samples) * np.float32(10 ** (rng.uniform(-45, -10) / 20))
    return bed * np.float32(0.1 / (np.sqrt(np.mean(np.square(bed))) + 1e-9)), tuple(used)


def mixed(
    rng: np.random.Generator, drawer: Drawer, bed: Sound, used: tuple[int, ...], events: list[Event], rules: MixRules
) -> Scene:
    """The scene of a bed (frames * HOP samples) with events in it, after the recorder and the codec."""
    frames = len(bed) // HOP
    present = np.zeros((frames, len(LABELS)), np.float32)
    weights = np.ones((frames, len(LABELS)), np.float32)
    levels = np.full((frames, len(LABELS)), SILENT, np.float32)
    total = bed.copy()
    for event in events:
        if (added := _contaminant(rng, drawer, event, bed)) is not None:
            sound, active_frames, level = added
            total[event.begin * HOP : event.end * HOP] += sound
            _label(event, active_frames, level, Labels(present, weights, levels))
    return Scene(_recorded(rng, total, rules), Labels(present, weights, levels), used)


def _contaminant(
    rng: np.random.Generator, drawer: Drawer, event: Event, bed: Sound
) -> tuple[Sound, NDArray[np.bool_], NDArray[np.float32]] | None:
    """The event's sound at its level, the frames in which it sounds, and its level per frame. None if it is silent."""
    count = (event.end - event.begin) * HOP
    index = drawer.index(rng, event.kind)
    if event.kind == "speech":
        sound = phrases(rng, drawer, index, count)
    elif drawer.pool.sources[index].seconds * RATE >= count:
        sound = drawer.sound(rng, index, count, float(2 ** rng.uniform(-0.08, 0.08)))
        sound = np.pad(sound, (0, count - len(sound)))
    else:
        sound = filled(rng, drawer, index, count)
    sound = _shaped(rng, sound, equalize=0.5, limit=0.25, reverberate=0.5 if event.kind == "speech" else 0.35)
    sound = np.array(sound, np.float32)
    faded(
        sound, round(float(np.exp(rng.uniform(np.log(0.005), np.log(2.0 if event.kind != "speech" else 0.1)))) * RATE)
    )
    powers = frame_powers(sound, event.kind, HOP)
    here = active(powers, 35.0 if event.kind != "speech" else 30.0, 4 if event.kind == "speech" else 25)
    under = frame_powers(bed[event.begin * HOP : event.end * HOP], event.kind, HOP)
    if not here.any():
        return None
    ratio = decibels(np.mean(powers[here], keepdims=True))[0] - decibels(np.mean(under[here], keepdims=True))[0]
    gain_db = float(np.clip(event.level_db - ratio, -80, 60))
    level = decibels(smoothed(powers, LEVEL_FRAMES)) + gain_db - decibels(smoothed(under, LEVEL_FRAMES))
    return sound * np.float32(10 ** (gain_db / 20)), here, level


def _label(event: Event, here: NDArray[np.bool_], level: NDArray[np.float32], labels: Labels) -> None:
    """Write an event into the labels, in place."""
    column = LABELS.index(event.kind)
    part = slice(event.begin, event.end)
    labels.present[part, column] = np.maximum(labels.present[part, column], here)
    labels.levels[part, column] = np.where(here, np.clip(level, SILENT, -SILENT), labels.levels[part, column])
    low, high = AUDIBLE
    known = np.where(here, np.clip((level - low) / (high - low), 0, 1), 1.0)
    edges = np.flatnonzero(np.diff(here.astype(np.int8), prepend=0, append=0))
    for edge in edges:  # a frame that is half one thing
        known[max(edge - 1, 0) : edge + 1] *= 0.3
    labels.weights[part, column] = np.minimum(labels.weights[part, column], known)
    if event.kind == "singing":  # counts as either, for the recipe: not asked of the others
        labels.weights[part, LABELS.index("speech")] = np.where(here, 0, labels.weights[part, LABELS.index("speech")])
        labels.weights[part, LABELS.index("music")] = np.where(here, 0, labels.weights[part, LABELS.index("music")])


def _shaped(rng: np.random.Generator, sound: Sound, *, equalize: float, limit: float, reverberate: float) -> Sound:
    """`sound` through an equalizer, a band limit and a room, each with its chance."""
    response = Response(len(sound))
    if rng.random() < equalize:
        response.multiply(equalizer(rng, response.size))
    if rng.random() < limit:
        response.multiply(band_limit(rng, response.size))
    if rng.random() < reverberate:
        response.multiply(room(rng, response.size))
    return response.apply(sound)


def _recorded(rng: np.random.Generator, sound: Sound, rules: MixRules) -> Sound:
    """A mixture as a file holds it."""
    if rng.random() < rules.band:
        response = Response(len(sound))
        response.multiply(band_limit(rng, response.size))
        sound = response.apply(sound)
    if rng.random() < rules.clip:
        sound = clipped(rng, sound)
    peak = float(np.max(np.abs(sound))) + 1e-9
    sound = sound * np.float32(10 ** (rng.uniform(*rules.gain_db) / 20) / peak)
    if rng.random() < rules.narrow:
        sound = narrowed(rng, sound)
    if rng.random() < rules.codec:
        sound = encoded(rng, sound)
    return np.asarray(sound, np.float32)
