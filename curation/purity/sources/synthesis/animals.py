"""Birds, insects, frogs and other animals: chirps, trills and calls, the nearest natural kin of tunes and voices."""

from __future__ import annotations

import numpy as np

from ..pool import RATE
from .signals import (
    Rng,
    Wave,
    band,
    between,
    clicks,
    crossings,
    decay,
    level,
    modes,
    noise,
    place,
    pulse,
    regular,
    resonate,
    scattered,
    seconds,
    smooth,
    stack,
    struck,
    through,
    tone,
    wander,
)


def syllable(rng: Rng, base: float, spread: float, longest: float = 0.25) -> Wave:
    """A short whistled sweep about `base` Hz: up, down, arched, buzzing or two-voiced."""
    length = round(between(rng, 0.02, longest) * RATE)
    turns = int(rng.integers(2, 5))
    pitch = smooth(np.linspace(0, length / RATE, turns), base * spread ** rng.uniform(-1, 1, turns), seconds(length))
    sound = tone(pitch, length) + rng.uniform(0, 0.3) * tone(pitch * 2, length)
    if rng.random() < 0.25:
        sound *= 1 + rng.uniform(0.3, 1) * tone(between(rng, 40, 300), length)
    if rng.random() < 0.15:
        sound += tone(pitch * rng.uniform(1.2, 1.7), length)
    return sound * pulse(length, length / RATE * rng.uniform(0.1, 0.5), length / RATE * rng.uniform(0.1, 0.5))


def songbird(rng: Rng, n: int) -> Wave:
    """One to four birds, each with phrases out of a few syllables of its own, and pauses."""
    out = np.zeros(n)
    for _ in range(int(rng.integers(1, 5))):
        base, spread = between(rng, 1500, 5500), between(rng, 1.05, 1.5)
        known = [syllable(rng, base * between(rng, 0.75, 1.3), spread) for _ in range(int(rng.integers(2, 9)))]
        now, far = rng.uniform(0, 3), between(rng, 0.1, 1)
        while now < n / RATE:
            for _ in range(int(rng.integers(1, 7))):
                grain = known[int(rng.integers(len(known)))]
                repeats, gap = int(rng.choice([1, 1, 2, 5, 9])), between(rng, 0.02, 0.15)
                out += place(n, now + np.arange(repeats) * (len(grain) / RATE + gap), [grain]) * far
                now += repeats * (len(grain) / RATE + gap) + between(rng, 0.02, 0.3)
            now += between(rng, 0.4, 6)
    return out + between(rng, 0.001, 0.03) * noise(rng, n, 3)


def bird_trill(rng: Rng, n: int) -> Wave:
    """A trill: one note repeated ten to thirty times per second, which drifts in pitch."""
    out, now = np.zeros(n), rng.uniform(0, 1)
    base, rate, spread = between(rng, 1800, 6000), between(rng, 8, 35), between(rng, 1.1, 1.6)
    while now < n / RATE:
        length = round(between(rng, 0.5, 4) * RATE)
        cycle = np.cumsum(rate * wander(rng, length, 0.5, 0.8, 1.25)) / RATE % 1
        pitch = base * wander(rng, length, 0.6, 0.9, 1.1) * spread ** (np.sin(2 * np.pi * cycle))
        sound = tone(pitch, length) * np.clip(np.sin(np.pi * cycle), 0, 1) ** between(rng, 0.5, 3)
        out += place(n, [now], [sound * pulse(length, 0.2, 0.1)])
        now += length / RATE + between(rng, 0.3, 5)
    return out


def hooting(rng: Rng, n: int) -> Wave:
    """An owl, a dove or a cuckoo: few soft low notes, again and again, nearly in rhythm."""
    base = between(rng, 280, 900)
    notes = []
    for _ in range(int(rng.integers(1, 5))):
        length = round(between(rng, 0.12, 0.8) * RATE)
        pitch = (
            base
            * rng.uniform(0.8, 1.15)
            * smooth([0, length / RATE / 2, length / RATE], [0.93, 1, 0.92], seconds(length))
        )
        sound = stack(pitch * wander(rng, length, 0.1, 0.995, 1.005), length, [1, 0.12, 0.05])
        if rng.random() < 0.3:
            sound *= 1 + 0.6 * tone(between(rng, 12, 30), length)
        notes.append((sound + 0.03 * noise(rng, length, 3)) * pulse(length, 0.05, 0.08))
    gap, rest = between(rng, 0.05, 0.5), between(rng, 0.8, 6)
    out, now = np.zeros(n), rng.uniform(0, 1)
    while now < n / RATE:
        for note in notes:
            out += place(n, [now], [note])
            now += len(note) / RATE + gap * rng.uniform(0.9, 1.1)
        now += rest * rng.uniform(0.8, 1.3)
    return out


def harsh_call(rng: Rng, n: int) -> Wave:
    """A crow, a gull, a duck, a goose or a parrot: rough harmonic calls through a throat's resonances."""
    base = between(rng, 250, 1100)
    contour = rng.uniform(0.6, 1.3, 3)
    centres = [between(rng, 800, 1600), between(rng, 1800, 3000), between(rng, 3200, 5500)]
    out = np.zeros(n)
    now = rng.uniform(0, 1)
    while now < n / RATE:
        for _ in range(int(rng.integers(1, 6))):
            length = round(between(rng, 0.08, 0.7) * RATE)
            pitch = base * smooth([0, length / RATE * 0.4, length / RATE], contour, seconds(length))
            rough = 1 + rng.normal(0, between(rng, 0.01, 0.2), length // 40 + 2).repeat(40)[:length]
            sound = stack(pitch * rough, length, [1.0] * 16) + between(rng, 0.1, 1) * noise(rng, length)
            out += place(n, [now], [sound * pulse(length, 0.02, 0.05)], [rng.uniform(0.4, 1)])
            now += length / RATE + between(rng, 0.05, 0.6)
        now += between(rng, 0.3, 5)
    return resonate(out, centres, [c / between(rng, 3, 8) for c in centres], [1, 0.7, 0.3])


def animal_voice(rng: Rng, n: int) -> Wave:
    """A cow, a sheep, a goat, a dog, a cat, a donkey: voiced calls without words, the closest kin of speech."""
    kind = rng.choice(["bleat", "moo", "bark", "meow", "bray"])
    low, high = {"bleat": (250, 500), "moo": (80, 200), "bark": (180, 700), "meow": (350, 800), "bray": (150, 500)}[
        kind
    ]
    shortest, longest = {
        "bleat": (0.4, 1.5),
        "moo": (0.8, 2.5),
        "bark": (0.08, 0.25),
        "meow": (0.4, 1.2),
        "bray": (0.3, 1),
    }[kind]
    base, scale = between(rng, low, high), between(rng, 0.7, 1.6)
    out, now = np.zeros(n), rng.uniform(0, 1)
    while now < n / RATE:
        for _ in range(int(rng.integers(1, 6)) if kind in ("bark", "bray") else 1):
            length = round(between(rng, shortest, longest) * RATE)
            end = length / RATE
            pitch = base * smooth([0, end * rng.uniform(0.2, 0.6), end], rng.uniform(0.75, 1.2, 3), seconds(length))
            if kind == "bleat":
                pitch *= 1 + 0.05 * tone(between(rng, 6, 12), length)
            sound = stack(pitch, length, [1 / k**0.7 for k in range(1, 30)]) * pulse(length, 0.04, min(0.15, end / 3))
            if kind == "bleat":
                sound *= 1 + 0.5 * tone(between(rng, 6, 12), length)
            sound += between(rng, 0.05, 0.6) * noise(rng, length) * pulse(length, 0.02, 0.05)
            opening = smooth([0, end / 2, end], rng.uniform(0.8, 1.3, 3), seconds(length))
            centres = [
                between(rng, 450, 900) * scale * opening.mean(),
                between(rng, 1000, 1900) * scale,
                between(rng, 2300, 3300) * scale,
            ]
            sound = resonate(sound, centres, [c / 6 for c in centres], [1, 0.6, 0.25])
            out += place(n, [now], [level(sound)], [rng.uniform(0.5, 1)])
            now += end + between(rng, 0.08, 0.5)
        now += between(rng, 0.4, 5)
    return out


def howl(rng: Rng, n: int) -> Wave:
    """A wolf, a whale or a gibbon: long glides of a clear voice, at times several at once."""
    out = np.zeros(n)
    for _ in range(int(rng.choice([1, 1, 2, 4]))):
        base, now = between(rng, 250, 900), rng.uniform(0, 3)
        tilt = rng.uniform(1.2, 2.5)
        while now < n / RATE:
            length = round(between(rng, 0.8, 5) * RATE)
            turns = int(rng.integers(3, 7))
            pitch = base * smooth(np.linspace(0, length / RATE, turns), rng.uniform(0.7, 1.35, turns), seconds(length))
            sound = stack(pitch * wander(rng, length, 0.15, 0.99, 1.01), length, [1 / k**tilt for k in range(1, 12)])
            out += place(n, [now], [sound * pulse(length, 0.3, 0.5)], [rng.uniform(0.2, 1)])
            now += length / RATE + between(rng, 0.3, 6)
    return out


def crickets(rng: Rng, n: int) -> Wave:
    """Crickets: groups of short high pulses; one near or a field of them."""
    out = np.zeros(n)
    for _ in range(int(rng.choice([1, 2, 5, 12]))):
        pitch, pulses = between(rng, 2800, 6800), int(rng.integers(2, 9))
        length = round(between(rng, 0.008, 0.03) * RATE)
        grain = tone(pitch, length) * pulse(length, 0.004, 0.004)
        gap = length / RATE * between(rng, 1.2, 2)
        cycle = pulses * gap + between(rng, 0.05, 1)
        starts = regular(rng, n, cycle, 0.02)
        out += place(n, (starts[:, None] + gap * np.arange(pulses)).ravel(), [grain]) * between(rng, 0.1, 1)
    return out + between(rng, 0.001, 0.05) * noise(rng, n, 3)


def cicadas(rng: Rng, n: int) -> Wave:
    """Cicadas and bush crickets: buzzing bands of noise, pulsed fast, that swell and sink."""
    out = np.zeros(n)
    for _ in range(int(rng.integers(1, 4))):
        centre = between(rng, 2500, 6500)
        rate = between(rng, 30, 400)
        pulses = np.clip(tone(rate * wander(rng, n, 1, 0.97, 1.03), n), 0, 1) ** 2
        carrier = band(noise(rng, n), centre * 0.85, centre * 1.15, 3) + rng.uniform(0, 2) * tone(centre, n)
        out += level(carrier * pulses) * wander(rng, n, between(rng, 0.5, 5), 0.05, 1)
    return out


def flies(rng: Rng, n: int) -> Wave:
    """Flies, bees and mosquitoes: a buzzing harmonic tone that bends as they pass."""
    out = np.zeros(n)
    for _ in range(int(rng.choice([1, 1, 2, 6]))):
        pitch = between(rng, 110, 700) * wander(rng, n, 0.4, 0.9, 1.1)
        near = wander(rng, n, 0.8, 0.02, 1)
        out += stack(pitch, n, [1 / k ** rng.uniform(0.4, 1.4) for k in range(1, 25)], rng) * near
    return out


def frogs(rng: Rng, n: int) -> Wave:
    """Frogs and toads: pulsed croaks through two resonances, peeps, or a choir of them."""
    out = np.zeros(n)
    for _ in range(int(rng.choice([1, 2, 4, 10]))):
        rate, low = between(rng, 15, 130), between(rng, 250, 1800)
        length = round(between(rng, 0.06, 1.2) * RATE)
        curve = rate * smooth([0, length / RATE], rng.uniform(0.8, 1.3, 2), seconds(length))
        hits = crossings(np.cumsum(curve) / RATE)
        body = struck(RATE // 6, [low, low * between(rng, 1.5, 2.8), low * 3.3], [0.06, 0.04, 0.02], [1, 0.6, 0.2], rng)
        croak = through(clicks(length, hits, rng.uniform(0.7, 1, len(hits))), body) * pulse(length, 0.04, 0.08)
        if rng.random() < 0.3:
            croak = tone(low * smooth([0, length / RATE], [0.9, 1.1], seconds(length)), length) * pulse(
                length, 0.03, 0.05
            )
        period = length / RATE * between(rng, 1.3, 5)
        starts = np.arange(rng.uniform(0, period), n / RATE, period)
        out += place(
            n, starts + rng.normal(0, 0.1 * period, len(starts)), [level(croak)], rng.uniform(0.5, 1, len(starts))
        ) * between(rng, 0.1, 1)
    return out


def wings(rng: Rng, n: int) -> Wave:
    """Beating wings: bursts of soft flaps that slow down or speed up."""
    out, now = np.zeros(n), rng.uniform(0, 0.5)
    while now < n / RATE:
        length = round(between(rng, 0.5, 3) * RATE)
        cycle = (
            np.cumsum(between(rng, 4, 22) * smooth([0, length / RATE], rng.uniform(0.7, 1.3, 2), seconds(length)))
            / RATE
        )
        sound = noise(rng, length, 4, 100, 4000) * np.exp(-5 * (cycle % 1)) * pulse(length, 0.1, 0.3)
        out += place(n, [now], [sound], [rng.uniform(0.3, 1)])
        now += length / RATE + between(rng, 0.3, 3)
    return out


def growl(rng: Rng, n: int) -> Wave:
    """Growling, snoring, purring, grunting: low pulses and breath through a throat."""
    rate = between(rng, 18, 90)
    breath = np.clip(tone(between(rng, 0.2, 0.9) * wander(rng, n, 3, 0.8, 1.2), n) + rng.uniform(0, 0.8), 0, 1)
    hits = crossings(np.cumsum(rate * wander(rng, n, 0.3, 0.7, 1.4)) / RATE)
    source = through(clicks(n, hits, rng.uniform(0.4, 1, len(hits))), decay(800, 0.02)) + 0.1 * noise(rng, n)
    centres = [between(rng, 200, 500), between(rng, 700, 1500), between(rng, 1800, 3000)]
    return resonate(source * breath, centres, [c / 3 for c in centres], [1, 0.5, 0.2])


def woodpecker(rng: Rng, n: int) -> Wave:
    """Drumming on hollow wood, in short rolls that speed up."""
    body = struck(RATE // 5, *modes(rng, between(rng, 300, 900), 4000, 10, between(rng, 0.02, 0.08)), rng)
    out, now = np.zeros(n), rng.uniform(0, 2)
    while now < n / RATE:
        count = int(rng.integers(6, 30))
        gaps = np.geomspace(1 / between(rng, 9, 20), 1 / between(rng, 12, 28), count)
        out += place(n, now + np.cumsum(gaps), [body], np.linspace(1, 0.4, count))
        now += float(gaps.sum()) + between(rng, 1, 8)
    return out + between(rng, 0.001, 0.02) * noise(rng, n, 3)


def ambience_forest(rng: Rng, n: int) -> Wave:
    """A wood or meadow: far birds and insects over wind in leaves."""
    bed = noise(rng, n, 3, 100, 6000) * wander(rng, n, 3, 0.3, 1)
    extra = [songbird, bird_trill, crickets, hooting, flies, harsh_call]
    chosen = rng.choice(len(extra), int(rng.integers(1, 4)), replace=False)
    return bed * between(rng, 0.1, 1) + sum(level(extra[k](rng, n)) * between(rng, 0.1, 1) for k in chosen)


def scattered_peeps(rng: Rng, n: int) -> Wave:
    """Chicks, bats, mice or squeaky toys: many short high peeps."""
    grains = [syllable(rng, between(rng, 2200, 6500), between(rng, 1.05, 1.4), 0.12) for _ in range(12)]
    hits = scattered(rng, n, between(rng, 1, 12))
    return place(n, hits, grains, rng.uniform(0.1, 1, len(hits)))


EFFECTS = {
    "songbird": songbird,
    "bird-trill": bird_trill,
    "hooting": hooting,
    "harsh-call": harsh_call,
    "animal-voice": animal_voice,
    "howl": howl,
    "crickets": crickets,
    "cicadas": cicadas,
    "flies": flies,
    "frogs": frogs,
    "wings": wings,
    "growl": growl,
    "woodpecker": woodpecker,
    "forest": ambience_forest,
    "peeps": scattered_peeps,
}
