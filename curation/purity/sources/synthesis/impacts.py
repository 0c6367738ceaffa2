"""Struck, scraped and ticking things: bells, chimes, metal, tools, clocks, presses, trains over joints, footsteps."""

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
    grit,
    level,
    lines,
    modes,
    noise,
    place,
    pulse,
    regular,
    resonate,
    scattered,
    seconds,
    stack,
    struck,
    through,
    tone,
    wander,
)

BELL = (0.5, 1.0, 1.183, 1.506, 2.0, 2.514, 2.662, 3.011, 4.166, 5.433, 6.796, 8.215)
"""The partials of a tuned church bell over its strike note: hum, prime, minor third, fifth, octave, and above."""
TUBE = (1.0, 2.756, 5.404, 8.933, 13.344)
"""The partials of a free bar or tube over its lowest."""


def bell_body(rng: Rng, prime: float, time: float, detune: float = 0.01) -> Wave:
    """A church bell struck once: the partials BELL over `prime` Hz, off by `detune` (deviation), in beating pairs.

    The prime falls by 60 dB in `time` seconds, higher partials faster.
    """
    partials, times, gains = [], [], []
    for ratio in BELL:
        partial = prime * ratio * (1 + rng.normal(0, detune))
        split = rng.uniform(0.0002, 0.002)
        loud = rng.uniform(0.4, 1) / ratio**0.5
        partials += [partial, partial * (1 + split)]
        times += [time / ratio**0.8] * 2
        gains += [loud, loud * rng.uniform(0.2, 0.7)]
    return struck(round(min(time * 1.2, 20) * RATE), partials, times, gains, rng)


def church_bell(rng: Rng, n: int) -> Wave:
    """One to three bells that swing, each at its own uneven pace."""
    out = np.zeros(n)
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        body = bell_body(rng, between(rng, 130, 700), between(rng, 3, 14))
        hits = regular(rng, n, between(rng, 0.9, 3.5), 0.03)
        out += through(clicks(n, hits, rng.uniform(0.6, 1, len(hits))), body) * rng.uniform(0.4, 1)
    return out


def small_bell(rng: Rng, n: int) -> Wave:
    """A hand bell, cow bells or a door bell's strike: short rings at irregular times."""
    bodies = []
    for _ in range(int(rng.integers(1, 5))):
        base = between(rng, 400, 3000)
        ratios = np.r_[1, np.sort(rng.uniform(1.3, 7, 7))]
        bodies.append(
            struck(
                RATE * 2, list(base * ratios), list(between(rng, 0.1, 1.8) / ratios), list(rng.uniform(0.1, 1, 8)), rng
            )
        )
    hits = scattered(rng, n, between(rng, 0.5, 6))
    return place(n, hits, bodies, rng.uniform(0.1, 1, len(hits)))


def wind_chimes(rng: Rng, n: int) -> Wave:
    """Tubes or shells that the wind strikes at random; their pitches follow no scale."""
    base, shape = between(rng, 400, 1500), rng.random()
    bodies = []
    for pitch in base * rng.uniform(1, 2.6, int(rng.integers(4, 9))):
        ratios = np.array(TUBE) if shape < 0.6 else np.r_[1, np.sort(rng.uniform(1.5, 6, 4))]
        bodies.append(
            struck(RATE * 4, list(pitch * ratios), list(between(rng, 0.3, 4) / ratios), [1, 0.5, 0.3, 0.15, 0.1], rng)
        )
    gusts = wander(rng, n, 2.5, 0.03, 1)
    hits = scattered(rng, n, between(rng, 2, 10))
    hits = hits[rng.random(len(hits)) < gusts[(hits * RATE).astype(int).clip(0, n - 1)]]
    order = rng.permutation(len(hits))
    return place(n, hits[order], bodies, rng.uniform(0.1, 1, len(hits)))


def metal_impacts(rng: Rng, n: int) -> Wave:
    """Plates, pipes, pots and chains that are struck or dropped."""
    bodies = []
    for _ in range(int(rng.integers(1, 6))):
        low = between(rng, 80, 900)
        bodies.append(struck(RATE * 2, *modes(rng, low, 7500, int(rng.integers(12, 60)), between(rng, 0.1, 3)), rng))
    hits = scattered(rng, n, between(rng, 0.4, 8))
    return place(n, hits, bodies, rng.uniform(0.05, 1, len(hits)) ** 1.5)


def gong(rng: Rng, n: int) -> Wave:
    """A large plate struck softly: a swelling, dense, inharmonic roar."""
    hits = scattered(rng, n, 0.25)
    partials, times, gains = modes(rng, between(rng, 60, 160), 5000, 90, between(rng, 4, 12))
    size = RATE * 12
    body = struck(size, partials, times, gains, rng) * np.minimum(seconds(size) / between(rng, 0.01, 0.6), 1)
    return place(n, hits, [body], rng.uniform(0.3, 1, len(hits)))


def glass(rng: Rng, n: int) -> Wave:
    """Clinking glasses and dishes, sometimes a shattering."""
    bodies = [
        struck(RATE, *modes(rng, between(rng, 900, 3000), 7500, int(rng.integers(3, 10)), between(rng, 0.08, 0.9)), rng)
        for _ in range(8)
    ]
    hits = scattered(rng, n, between(rng, 0.5, 5))
    if rng.random() < 0.5:
        at = rng.uniform(0, n / RATE)
        hits = np.r_[hits, at + rng.exponential(0.15, 120)]
    gains = rng.uniform(0.02, 1, len(hits)) ** 2
    return place(n, hits, bodies, gains)


def hammering(rng: Rng, n: int) -> Wave:
    """A hammer, an axe, knocking or a woodpecker: steady blows in bouts, on wood, stone or iron."""
    low = between(rng, 90, 1200)
    body = struck(
        RATE, *modes(rng, low, low * between(rng, 5, 30), int(rng.integers(6, 30)), between(rng, 0.03, 0.5)), rng
    )
    period = between(rng, 0.05, 1.2)
    hits = regular(rng, n, period, 0.05)
    bout, rest = between(rng, 4, 20) * period, between(rng, 2, 15) * period
    hits = hits[(hits % (bout + rest)) < bout]
    blows = rng.uniform(0.5, 1, len(hits))
    return level(through(clicks(n, hits, blows), body)) + between(rng, 0.05, 0.5) * level(
        grit(rng, n, hits, blows, 0.03)
    )


def ticking(rng: Rng, n: int) -> Wave:
    """A clock, a meter, an indicator or a ratchet: two kinds of tick in turn."""
    period = between(rng, 0.08, 1.0)
    low = between(rng, 700, 3500)
    bodies = [
        struck(
            RATE // 3,
            *modes(rng, low * rng.uniform(0.8, 1.2), 7500, int(rng.integers(4, 16)), between(rng, 0.01, 0.12)),
            rng,
        )
        for _ in range(2)
    ]
    hits = regular(rng, n, period, rng.choice([0.0, 0.005, 0.05]))
    return place(
        n, hits, bodies, rng.uniform(0.8, 1, len(hits)) * np.where(np.arange(len(hits)) % 2, 1, rng.uniform(0.4, 1))
    )


def press(rng: Rng, n: int) -> Wave:
    """A factory machine: in each cycle a blow, a hiss and a clatter, over the hum of its motor."""
    period = between(rng, 0.35, 2.5)
    cycle = round(period * RATE)
    one = np.zeros(cycle)
    for _ in range(int(rng.integers(2, 6))):
        body = struck(
            RATE, *modes(rng, between(rng, 40, 900), 6000, int(rng.integers(10, 40)), between(rng, 0.05, 0.5)), rng
        )
        one += np.resize(place(cycle, [rng.uniform(0, period * 0.8)], [body]), cycle) * rng.uniform(0.2, 1)
    length = round(period * rng.uniform(0.1, 0.5) * RATE)
    hiss = noise(rng, length, 0, 1000, 7500) * pulse(length, 0.01, 0.05) * np.abs(one).max() * rng.uniform(0.02, 0.3)
    one += place(cycle, [rng.uniform(0, period * 0.5)], [hiss])
    hits = regular(rng, n, period, 0.004)
    hum = stack(between(rng, 20, 60), n, list(1 / np.arange(1, 30)), rng)
    return level(place(n, hits, [one], rng.uniform(0.85, 1, len(hits)))) + between(rng, 0.02, 0.3) * level(hum)


def rattling_machine(rng: Rng, n: int) -> Wave:
    """A sewing machine, a printer, a loom, a projector: fast clatter whose pace follows a hand or a program."""
    rate = between(rng, 5, 40) * wander(rng, n, 2, 0.6, 1.2)
    on = (seconds(n) % (a := between(rng, 1.5, 9)) < a * rng.uniform(0.5, 1)).astype(float)
    hits = crossings(np.cumsum(rate * on) / RATE)
    bodies = [
        struck(
            RATE // 4,
            *modes(rng, between(rng, 150, 1800), 7000, int(rng.integers(8, 24)), between(rng, 0.01, 0.12)),
            rng,
        )
        for _ in range(int(rng.integers(1, 5)))
    ]
    motor = stack(rate * int(rng.integers(6, 20)), n, [1, 0.5, 0.3, 0.2], rng) * on
    return level(place(n, hits, bodies, rng.uniform(0.5, 1, len(hits)))) + between(rng, 0.02, 0.4) * level(motor)


def train_joints(rng: Rng, n: int) -> Wave:
    """A train over rail joints: double knocks whose pace changes slowly, rolling noise, at times a squeal."""
    speed = wander(rng, n, 8, 0.6, 1.2) * between(rng, 0.5, 2)
    cycles = np.cumsum(speed) / RATE
    bodies = [
        struck(RATE // 2, *modes(rng, between(rng, 50, 200), 3000, 24, between(rng, 0.06, 0.3)), rng) for _ in range(2)
    ]
    knocks = np.concatenate([crossings(cycles + shift) for shift in (0, 0.14, 0.5, 0.64)[: int(rng.choice([2, 4]))]])
    knocks = np.sort(knocks)
    out = level(place(n, knocks, bodies, rng.uniform(0.5, 1, len(knocks))))
    out += between(rng, 0.3, 1) * noise(rng, n, 4, 40, 3500) * (speed / speed.max())
    if rng.random() < 0.4:
        squeal = stack(between(rng, 900, 3000) * wander(rng, n, 0.5, 0.99, 1.01), n, [1, 0.3, 0.5, 0.1], rng)
        out += squeal * np.clip(wander(rng, n, 1.5, 0.01, 1) - 0.3, 0, 1) * between(rng, 0.1, 0.8)
    return out


def footsteps(rng: Rng, n: int) -> Wave:
    """Steps on gravel, wood, snow, stone or leaves; heel and sole; walking, running, or hooves."""
    period = between(rng, 0.22, 0.8)
    kind = rng.choice(["gravel", "wood", "stone", "snow", "hoof"])
    grains = []
    for _ in range(8):
        size = RATE // 2
        if kind in ("gravel", "snow"):
            crunch = scattered(rng, size // 3, between(rng, 80, 600))
            sound = grit(rng, size, crunch, rng.exponential(1, len(crunch)), 0.01)
            sound = band(sound, *((400, 3000) if kind == "snow" else (800, 7000))) * decay(
                size, between(rng, 0.15, 0.5), 0.03
            )
        else:
            low = {"wood": 90, "stone": 400, "hoof": 500}[str(kind)]
            body = struck(size, *modes(rng, low, 4000, 20, between(rng, 0.02, 0.15)), rng)
            sound = (
                body
                + 0.4 * np.roll(body, round(rng.uniform(0.04, 0.12) * RATE))
                + 0.1 * noise(rng, size, 3) * decay(size, 0.08)
            )
        grains.append(level(sound))
    hits = regular(rng, n, period, 0.06)
    return place(n, hits, grains, rng.uniform(0.5, 1, len(hits)))


def squeaks(rng: Rng, n: int) -> Wave:
    """A hinge, a swing, a wheel or a floor board: stick and slip at a gliding rate through resonances."""
    out, now = np.zeros(n), rng.uniform(0, 0.5)
    period = between(rng, 0.5, 3)
    centres = [between(rng, 400, 1200), between(rng, 1200, 2600), between(rng, 2600, 5000)]
    base = between(rng, 60, 1400)
    while now < n / RATE:
        length = round(between(rng, 0.1, min(1.5, period)) * RATE)
        rate = base * wander(rng, length, 0.12, 0.6, 1.5)
        grit = 0.02 if base > 300 else 0.25
        slips = crossings(np.cumsum(rate * (1 + rng.normal(0, grit, length))) / RATE)
        sound = clicks(length, slips, rng.uniform(0.5, 1, len(slips)))
        out += place(n, [now], [sound * pulse(length, 0.05, 0.08)])
        now += period * rng.uniform(0.8, 1.2)
    return resonate(out, centres, [c / between(rng, 4, 20) for c in centres], list(rng.uniform(0.3, 1, 3)))


def brake_squeal(rng: Rng, n: int) -> Wave:
    """Brakes, chalk or polystyrene: high tones that start, bend and break off."""
    out, now = np.zeros(n), rng.uniform(0, 1)
    while now < n / RATE:
        length = round(between(rng, 0.3, 4) * RATE)
        pitch = between(rng, 700, 3500) * wander(rng, length, 0.4, 0.93, 1.07)
        sound = stack(pitch, length, list(rng.uniform(0, 1, 5)), rng) * wander(rng, length, 0.15, 0.2, 1)
        out += place(n, [now], [(level(sound) + 0.2 * noise(rng, length, 0, 500)) * pulse(length, 0.1, 0.1)])
        now += length / RATE + between(rng, 0.2, 3)
    return out


def scraping(rng: Rng, n: int) -> Wave:
    """Sawing by hand, filing, sweeping, sandpaper: strokes of noise, to and fro."""
    rate = between(rng, 0.7, 5)
    position = np.abs(tone(rate / 2 * wander(rng, n, 2, 0.8, 1.2), n))
    low = between(rng, 300, 2000)
    teeth = 1 + rng.uniform(0, 1) * tone(between(rng, 50, 250) * (0.2 + position), n)
    return (
        band(noise(rng, n, rng.uniform(0, 4)), low, low * between(rng, 2, 8)) * position ** between(rng, 1, 3) * teeth
    )


def small_parts(rng: Rng, n: int) -> Wave:
    """Keys, coins, typing, dice, beads: many small hard things, in bursts."""
    bodies = [
        struck(RATE // 3, *modes(rng, between(rng, 600, 3500), 7500, 10, between(rng, 0.01, 0.25)), rng)
        for _ in range(12)
    ]
    hits = scattered(rng, n, between(rng, 4, 60))
    busy = wander(rng, n, 0.8, 0.02, 1)
    hits = hits[rng.random(len(hits)) < busy[(hits * RATE).astype(int).clip(0, n - 1)]]
    return place(n, hits, bodies, rng.exponential(0.4, len(hits)))


def blasts(rng: Rng, n: int) -> Wave:
    """Explosions, shots and fireworks: steep blows with dark tails."""
    out = np.zeros(n)
    for start in scattered(rng, n, between(rng, 0.15, 2)):
        length = round(between(rng, 0.4, 4) * RATE)
        sound = noise(rng, length, between(rng, 2, 8)) * decay(length, length / RATE, 0.002)
        sound += 2 * tone(lines([0, 0.3], [between(rng, 60, 160), 30], length), length) * decay(length, 0.4, 0.004)
        out += place(n, [start], [sound], [rng.uniform(0.1, 1)])
    return np.tanh(out)


def applause(rng: Rng, n: int) -> Wave:
    """Clapping hands, from a few to a hall."""
    out = np.zeros(n)
    for _ in range(int(between(rng, 3, 60))):
        centre = between(rng, 600, 2500)
        size = RATE // 10
        clap = band(noise(rng, size) * decay(size, between(rng, 0.01, 0.04)), centre * 0.6, centre * 1.8)
        hits = regular(rng, n, between(rng, 0.16, 0.4), 0.08)
        out += place(n, hits, [clap], rng.uniform(0.3, 1, len(hits))) * rng.uniform(0.2, 1)
    return out * wander(rng, n, 4, 0.3, 1)


EFFECTS = {
    "church-bell": church_bell,
    "small-bell": small_bell,
    "wind-chimes": wind_chimes,
    "metal": metal_impacts,
    "gong": gong,
    "glass": glass,
    "hammering": hammering,
    "ticking": ticking,
    "press": press,
    "rattling-machine": rattling_machine,
    "train-joints": train_joints,
    "footsteps": footsteps,
    "squeaks": squeaks,
    "brake-squeal": brake_squeal,
    "scraping": scraping,
    "small-parts": small_parts,
    "blasts": blasts,
    "applause": applause,
}
