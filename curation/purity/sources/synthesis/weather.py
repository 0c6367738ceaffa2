"""Wind, water, fire and earth: noise in motion, the tones that wind blows, drops, bubbles and crackle."""

from __future__ import annotations

import numpy as np

from ..pool import RATE
from .signals import (
    Rng,
    Wave,
    band,
    between,
    clicks,
    decay,
    gain_frames,
    grit,
    level,
    lines,
    modes,
    moving_filter,
    noise,
    place,
    pulse,
    resonate,
    scattered,
    seconds,
    stack,
    struck,
    through,
    tone,
    wander,
)


def wind(rng: Rng, n: int) -> Wave:
    """Gusts: noise whose strength and brightness rise together."""
    gust = wander(rng, n, between(rng, 0.8, 4), 0.15, 1)
    _, f = gain_frames(n)
    edge = (between(rng, 150, 900) * np.r_[gust[::128], gust[-1]][: n // 128 + 1] ** 1.3)[:, None]
    return moving_filter(noise(rng, n, 3), 1 / (1 + (f / edge) ** 3)) * gust


def wind_tones(rng: Rng, n: int) -> Wave:
    """Wind that whistles in gaps and wires: one to four narrow bands of noise that rise and fall with the gusts."""
    gust = wander(rng, n, between(rng, 0.6, 3), 0.2, 1)
    times, f = gain_frames(n)
    rows = np.r_[gust[::128], gust[-1]][: len(times)]
    gain = np.zeros((len(times), f.shape[1]))
    for _ in range(int(rng.integers(1, 5))):
        centre = between(rng, 250, 2600) * rows ** rng.uniform(0.1, 0.6)
        width = np.maximum(centre * between(rng, 0.012, 0.08), 20)
        gain += (
            rng.uniform(0.3, 1)
            * (rows ** between(rng, 1, 3))[:, None]
            / (1 + ((f - centre[:, None]) / width[:, None]) ** 2)
        )
    whistle = level(moving_filter(noise(rng, n), gain))
    if rng.random() < 0.5:
        pitch = between(rng, 300, 2200) * gust ** rng.uniform(0.05, 0.3) * wander(rng, n, 0.2, 0.99, 1.01)
        whistle = whistle + level(stack(pitch, n, [1, 0.2, 0.1], rng) * gust**2) * wander(rng, n, 0.5, 0.1, 1)
    return whistle + between(rng, 0.05, 1.5) * level(wind(rng, n))


def rain(rng: Rng, n: int) -> Wave:
    """Rain, from a drizzle of single drops to a downpour, on leaves, stone, a roof or a tent."""
    density = between(rng, 20, 1500)
    drops = scattered(rng, n, density)
    size = RATE // 20
    out = np.zeros(n)
    for part in np.array_split(rng.permutation(drops), 5):
        low = between(rng, 600, 3500)
        body = struck(size, *modes(rng, low, 7500, 8, between(rng, 0.004, 0.05)), rng)
        sizes = rng.exponential(1, len(part)) ** 1.5
        out += level(through(clicks(n, part, sizes), body))
        out += level(band(grit(rng, n, part, sizes, between(rng, 0.004, 0.02)), low * 0.5, np.inf)) * rng.uniform(
            0.2, 1
        )
    hiss = noise(rng, n, rng.uniform(0, 4), between(rng, 200, 1200), 7500)
    return level(out) + between(rng, 0.05, 2) * hiss * wander(rng, n, 4, 0.6, 1)


def sea(rng: Rng, n: int) -> Wave:
    """Waves on a shore: each swells, breaks bright, and runs back hissing."""
    out = 0.2 * noise(rng, n, 5, 30, 2500)
    now = -rng.uniform(0, 6)
    while now < n / RATE:
        rise, fall = between(rng, 1, 4), between(rng, 2, 6)
        shape = lines([now, now + rise, now + rise + 0.4, now + rise + fall], [0, 0.6, 1, 0], n) ** 1.5
        bright = lines([now + rise - 0.3, now + rise + 0.5, now + rise + fall], [0, 1, 0.2], n)
        out += shape * (noise(rng, n, 4, 40, 3000) + bright * noise(rng, n, 0, 800, 7500))
        now += between(rng, 3, 9)
    return out


def bubbles(rng: Rng, n: int, rate: float, low: float, high: float) -> Wave:
    """Air bubbles, `rate` per second: damped tones between `low` and `high` Hz whose pitch rises."""
    grains = []
    for _ in range(40):
        pitch = between(rng, low, high)
        length = round(min(12 / pitch, 0.12) * RATE) + 20
        rise = 1 + rng.uniform(0, 0.8) * seconds(length) / (length / RATE)
        grains.append(tone(pitch * rise, length) * decay(length, length / RATE, 0.001))
    hits = rng.permutation(scattered(rng, n, rate))
    return place(n, hits, grains, rng.exponential(0.5, len(hits)))


def stream(rng: Rng, n: int) -> Wave:
    """A brook, a fountain, a tap, a waterfall: many bubbles over rushing noise."""
    water = level(bubbles(rng, n, between(rng, 20, 400), between(rng, 200, 900), between(rng, 1500, 5000)))
    return water * wander(rng, n, 1, 0.6, 1) + between(rng, 0.05, 2) * noise(rng, n, rng.uniform(1, 5), 100, 7000)


def boiling(rng: Rng, n: int) -> Wave:
    """Boiling, pouring or gargling: large bubbles, closer and closer."""
    water = bubbles(rng, n, between(rng, 8, 60), between(rng, 80, 250), between(rng, 500, 1500))
    return level(water) * lines([0, n / RATE], [rng.uniform(0.2, 1), 1], n) + between(rng, 0.02, 0.4) * noise(rng, n, 4)


def drips(rng: Rng, n: int) -> Wave:
    """Drops that fall in a cave, a sink or a barrel, with an echo."""
    grains = []
    for _ in range(int(rng.integers(2, 9))):
        pitch, length = between(rng, 350, 3200), RATE // 6
        sound = tone(pitch * (1 + rng.uniform(0.1, 0.9) * np.minimum(seconds(length) / 0.05, 1)), length)
        grains.append(
            sound * decay(length, between(rng, 0.04, 0.15), 0.002) + 0.3 * noise(rng, length) * decay(length, 0.006)
        )
    hits = scattered(rng, n, between(rng, 0.5, 4))
    size = RATE * 2
    echo = noise(rng, size) * np.exp(-seconds(size) * between(rng, 2.5, 12)) * between(rng, 0.002, 0.03)
    echo[0] = 1
    return through(place(n, hits, grains, rng.uniform(0.1, 1, len(hits))), echo)


def fire(rng: Rng, n: int) -> Wave:
    """A fire: snaps and crackles over a low flutter and a hiss."""
    snaps = scattered(rng, n, between(rng, 4, 60))
    bodies = [
        struck(RATE // 15, *modes(rng, between(rng, 500, 3000), 7500, 8, between(rng, 0.003, 0.03)), rng)
        for _ in range(10)
    ]
    crackle = place(n, snaps, bodies, rng.pareto(1.6, len(snaps)).clip(0, 12))
    flutter = noise(rng, n, 6, 20, 400) * wander(rng, n, 0.08, 0.3, 1)
    return level(crackle) + between(rng, 0.1, 1) * flutter + between(rng, 0.02, 0.3) * noise(rng, n, 0, 1500)


def thunder(rng: Rng, n: int) -> Wave:
    """Thunder: a crack and long rolling, over rain or alone."""
    out = np.zeros(n)
    for start in scattered(rng, n, 0.15):
        length = round(between(rng, 3, 10) * RATE)
        roll = noise(rng, length, 7, 20, between(rng, 150, 900)) * wander(rng, length, 0.5, 0.1, 1)
        roll = level(roll * decay(length, length / RATE, between(rng, 0.01, 1)))
        if rng.random() < 0.5:
            crack = scattered(rng, RATE, 120)
            roll = roll + grit(rng, length, crack * 0.5, rng.exponential(1, len(crack)), 0.02) * 0.6
        out += place(n, [start], [roll], [between(rng, 0.3, 1)])
    return out + (level(rain(rng, n)) * between(rng, 0.02, 0.4) if rng.random() < 0.5 else 0.005 * noise(rng, n, 4))


def leaves(rng: Rng, n: int) -> Wave:
    """Rustling: leaves, paper, cloth, plastic, a body in the bushes."""
    busy = np.clip(wander(rng, n, between(rng, 0.2, 1.5), 0.02, 1), 0.03, 1)
    hits = scattered(rng, n, between(rng, 100, 900))
    hits = hits[rng.random(len(hits)) < busy[(hits * RATE).astype(int).clip(0, n - 1)]]
    crisp = grit(rng, n, hits, rng.exponential(1, len(hits)), between(rng, 0.004, 0.018))
    crisp = band(crisp, between(rng, 600, 2500), np.inf)
    return level(crisp) + between(rng, 0.02, 0.6) * noise(rng, n, 2, 500, 7000) * busy


def rocks(rng: Rng, n: int) -> Wave:
    """Falling stones, rubble, breaking wood or ice."""
    bodies = [
        struck(RATE // 3, *modes(rng, between(rng, 100, 1200), 6000, 16, between(rng, 0.02, 0.15)), rng)
        for _ in range(16)
    ]
    busy = wander(rng, n, 1.2, 0.02, 1)
    hits = scattered(rng, n, between(rng, 8, 80))
    hits = hits[rng.random(len(hits)) < busy[(hits * RATE).astype(int).clip(0, n - 1)]]
    return (
        place(n, hits, bodies, rng.pareto(1.8, len(hits)).clip(0, 8))
        + between(rng, 0.005, 0.2) * noise(rng, n, 5) * busy
    )


def room_tone(rng: Rng, n: int) -> Wave:
    """The quiet of a room, a street or a valley far away: dark noise with slow movement and faint hum."""
    hum = stack(
        between(rng, 25, 120) * wander(rng, n, 8, 0.97, 1.03), n, list(rng.uniform(0, 1, 8) / np.arange(1, 9)), rng
    )
    return noise(rng, n, rng.uniform(3, 7), 20, 6000) * wander(rng, n, 4, 0.5, 1) + between(rng, 0.01, 0.3) * level(hum)


def air_release(rng: Rng, n: int) -> Wave:
    """Hissing air: brakes, valves, sprays, breath of a diver: bursts of noise through a resonance."""
    out, now = np.zeros(n), rng.uniform(0, 1)
    centre = between(rng, 800, 5000)
    while now < n / RATE:
        length = round(between(rng, 0.1, 2.5) * RATE)
        sound = noise(rng, length, 0, 300, 7800) * pulse(length, 0.01, length / RATE * 0.6)
        out += place(n, [now], [sound], [rng.uniform(0.3, 1)])
        now += length / RATE + between(rng, 0.3, 3)
    return resonate(out, [centre, centre * 1.7], [centre / 3, centre / 2], [1, 0.6]) + 0.3 * out


EFFECTS = {
    "wind": wind,
    "wind-tones": wind_tones,
    "rain": rain,
    "sea": sea,
    "stream": stream,
    "boiling": boiling,
    "drips": drips,
    "fire": fire,
    "thunder": thunder,
    "leaves": leaves,
    "rocks": rocks,
    "room-tone": room_tone,
    "air-release": air_release,
}
