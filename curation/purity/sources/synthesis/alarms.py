"""Sirens, alarms, horns and whistles: tones that warn, whose steps and sweeps repeat without a melody."""

from __future__ import annotations

import numpy as np

from ..pool import RATE
from .signals import (
    Rng,
    Wave,
    between,
    clicks,
    level,
    lines,
    noise,
    place,
    pulse,
    regular,
    resonate,
    seconds,
    smooth,
    stack,
    struck,
    through,
    tone,
    wander,
)


def reed(rng: Rng, tilt: float, count: int = 24) -> list[float]:
    """The gains of a bright source's harmonics, which fall with the power `tilt` of their number."""
    return [float(rng.uniform(0.4, 1)) / number**tilt for number in range(1, count + 1)]


def two_tone(
    rng: Rng, n: int, low: float | None = None, high: float | None = None, period: float | None = None
) -> Wave:
    """A siren of two tones that alternate: `low` and `high` in Hz, both within one `period` in seconds."""
    first = between(rng, 350, 700) if low is None else low
    second = first * between(rng, 1.15, 1.5) if high is None else high
    cycle = between(rng, 0.6, 2.4) if period is None else period
    upper = (seconds(n) / cycle) % 1 >= 0.5
    steps = np.where(upper, second, first)
    size = max(round(0.012 * RATE), 1)
    glide = np.convolve(np.r_[np.full(size, steps[0]), steps], np.ones(size) / size, "full")[size : size + n]
    return stack(glide, n, reed(rng, rng.uniform(0.7, 2.0)))


def wail(rng: Rng, n: int) -> Wave:
    """A siren that rises and falls: the slow wail, the yelp, or a mechanical air-raid siren."""
    low = between(rng, 250, 700)
    high = low * between(rng, 1.6, 3)
    period = between(rng, 0.25, 9)
    turn = rng.uniform(0.2, 0.7)
    cycle = (seconds(n) / period) % 1
    curve = np.interp(cycle, [0, turn, 1], [low, high, low])
    return stack(curve, n, reed(rng, rng.uniform(0.6, 2.0))) * wander(rng, n, 3, 0.6, 1)


def beeps(rng: Rng, n: int) -> Wave:
    """An alarm that beeps in groups: smoke detector, reversing vehicle, oven, hospital monitor."""
    frequency = between(rng, 500, 4200)
    group, beep = int(rng.integers(1, 5)), between(rng, 0.04, 0.6)
    gap = beep * between(rng, 0.4, 1.2)
    rest = between(rng, 0.1, 3)
    length = round(beep * RATE)
    pitches = [frequency] if rng.random() < 0.8 else [frequency, frequency * between(rng, 0.7, 1.4)]
    gains = reed(rng, rng.uniform(0.8, 3), 8)
    grains = [stack(pitch, length, gains) * pulse(length, 0.003, 0.006) for pitch in pitches]
    cycle = group * (beep + gap) + rest
    starts = [t + k * (beep + gap) for t in np.arange(rng.uniform(0, 0.5), n / RATE, cycle) for k in range(group)]
    return place(n, starts, grains)


def electronic_ring(rng: Rng, n: int) -> Wave:
    """A telephone's electronic trill: two tones that alternate fast, on and off."""
    low = between(rng, 450, 1800)
    rate, ring, rest = between(rng, 10, 25), between(rng, 0.6, 2), between(rng, 0.8, 3)
    upper = (seconds(n) * rate) % 1 >= 0.5
    sound = stack(np.where(upper, low * rng.uniform(1.15, 1.35), low), n, reed(rng, rng.uniform(1, 2), 10))
    return sound * ((seconds(n) % (ring + rest)) < ring)


def bell_ring(rng: Rng, n: int) -> Wave:
    """A bell that a clapper hammers: old telephone, school bell, level crossing, alarm clock, bicycle."""
    base = between(rng, 700, 2600)
    ratios = np.r_[1, np.sort(rng.uniform(1.6, 6, 5))]
    body = struck(
        RATE, list(base * ratios), list(between(rng, 0.2, 1.2) / ratios**0.5), list(rng.uniform(0.2, 1, 6)), rng
    )
    rate, ring, rest = between(rng, 4, 28), between(rng, 0.6, 4), between(rng, 0.3, 3)
    hits = regular(rng, n, 1 / rate, 0.04)
    hits = hits[(hits % (ring + rest)) < ring]
    return through(clicks(n, hits, rng.uniform(0.7, 1, len(hits))), body)


def car_horn(rng: Rng, n: int) -> Wave:
    """A horn of one or two reeds, in blasts of uneven length."""
    base = between(rng, 280, 520)
    pitches = [base, base * rng.uniform(1.15, 1.35)][: int(rng.integers(1, 3))]
    out, now = np.zeros(n), rng.uniform(0, 1)
    gains = reed(rng, rng.uniform(0.4, 1.2), 20)
    while now < n / RATE:
        length = round(between(rng, 0.12, 2.5) * RATE)
        bend = 1 - 0.03 * np.exp(-seconds(length) / 0.03)
        sound = sum(stack(pitch * bend, length, gains, rng) for pitch in pitches) * pulse(length, 0.02, 0.04)
        out += place(n, [now], [np.asarray(sound)])
        now += length / RATE + between(rng, 0.15, 4)
    return resonate(out, [700, 1800, 3000], [500, 900, 1200], [1, 0.8, 0.4])


def train_horn(rng: Rng, n: int) -> Wave:
    """A locomotive's air horn of two to five tones at once, with hiss; its blasts bend at both ends."""
    base = between(rng, 220, 420)
    pitches = base * np.cumprod(np.r_[1, rng.uniform(1.12, 1.35, int(rng.integers(1, 5)))])
    out, now = np.zeros(n), rng.uniform(0, 2)
    gains = reed(rng, rng.uniform(0.6, 1.4), 20)
    while now < n / RATE:
        length = round(between(rng, 0.4, 4) * RATE)
        edge = pulse(length, 0.12, 0.25)
        sound = sum(stack(pitch * (0.95 + 0.05 * edge), length, gains, rng) for pitch in pitches) * edge
        out += place(n, [now], [np.asarray(sound) + 0.1 * noise(rng, length, 2, 500, 6000) * edge])
        now += length / RATE + between(rng, 0.4, 6)
    return out


def ship_horn(rng: Rng, n: int) -> Wave:
    """A ship's or fog horn: a deep rough tone in long blasts."""
    out, now = np.zeros(n), rng.uniform(0, 2)
    base = between(rng, 65, 220)
    gains = reed(rng, rng.uniform(0.5, 1.3), 40)
    while now < n / RATE:
        length = round(between(rng, 1.5, 6) * RATE)
        edge = pulse(length, 0.25, 0.5)
        pitch = base * (0.96 + 0.04 * edge) * wander(rng, length, 0.3, 0.997, 1.003)
        out += place(n, [now], [(stack(pitch, length, gains, rng) + 0.2 * noise(rng, length, 6)) * edge])
        now += length / RATE + between(rng, 1, 8)
    return out


def pea_whistle(rng: Rng, n: int) -> Wave:
    """A referee's whistle: two close high tones, chopped by the pea."""
    out, now = np.zeros(n), rng.uniform(0, 1)
    base, ratio, rate = between(rng, 2000, 3800), rng.uniform(1.03, 1.12), between(rng, 25, 60)
    while now < n / RATE:
        length = round(between(rng, 0.1, 1.6) * RATE)
        breath = pulse(length, 0.02, 0.04)
        pitch = base * (0.97 + 0.03 * breath) * wander(rng, length, 0.2, 0.99, 1.01)
        chop = 0.6 + 0.4 * tone(rate * wander(rng, length, 0.2, 0.8, 1.2), length)
        sound = (tone(pitch, length) + 0.7 * tone(pitch * ratio, length)) * chop + 0.1 * noise(
            rng, length, 0, 1500, 7000
        )
        out += place(n, [now], [sound * breath])
        now += length / RATE + between(rng, 0.1, 4)
    return out


def steam_whistle(rng: Rng, n: int) -> Wave:
    """A kettle, a steam whistle or leaking pressure: a windy tone that climbs and wavers."""
    rise = smooth([0, n / RATE * rng.uniform(0.1, 0.6)], [rng.uniform(0.5, 0.95), 1], seconds(n))
    pitch = between(rng, 500, 3200) * rise * wander(rng, n, 0.4, 0.985, 1.015)
    sound = stack(pitch, n, [1, rng.uniform(0, 0.5), rng.uniform(0, 0.4), 0.1], rng)
    return (
        level(sound) * rise**3 * wander(rng, n, 0.3, 0.7, 1) + between(rng, 0.1, 1) * noise(rng, n, 0, 800, 7500) * rise
    )


def buzzer(rng: Rng, n: int) -> Wave:
    """A buzzer, as of a door or a factory: a rough low tone, on and off."""
    base = between(rng, 60, 400)
    ring, rest = between(rng, 0.2, 3), between(rng, 0.2, 3)
    gate = lines([0, 0.01], [0, 1], n) * (((seconds(n) + rng.uniform(0, 2)) % (ring + rest)) < ring)
    return stack(base * wander(rng, n, 1, 0.99, 1.01), n, reed(rng, rng.uniform(0.1, 0.8), 60), rng) * gate


def sonar(rng: Rng, n: int) -> Wave:
    """A ping with its echoes, or the clicks and tones of telemetry."""
    length = round(between(rng, 0.05, 0.5) * RATE)
    base = between(rng, 600, 3500)
    grain = tone(lines([0, length / RATE], [base, base * rng.uniform(0.9, 1.1)], length), length) * pulse(
        length, 0.01, 0.03
    )
    dry = place(n, regular(rng, n, between(rng, 1, 5), 0.0), [grain])
    tail = RATE * 2
    echo = noise(rng, tail) * np.exp(-seconds(tail) * between(rng, 2, 6)) * 0.02
    echo[0] = 1
    return through(dry, echo)


def data_tones(rng: Rng, n: int) -> Wave:
    """Tones that carry data: a modem's keying, dialling, scanning, a fax: steps far too fast for a tune."""
    rate = between(rng, 12, 300)
    count = int(n / RATE * rate) + 2
    table = np.exp(rng.uniform(np.log(500), np.log(3000), int(rng.choice([2, 2, 4, 8]))))
    steps = np.repeat(rng.choice(table, count), int(RATE / rate) + 1)[:n]
    on = np.repeat(rng.random(int(n / RATE / 0.8) + 2) < 0.8, round(0.8 * RATE))[:n]
    return tone(steps, n) * on + 0.02 * noise(rng, n)


EFFECTS = {
    "two-tone-siren": two_tone,
    "wail-siren": wail,
    "beeps": beeps,
    "electronic-ring": electronic_ring,
    "bell-ring": bell_ring,
    "car-horn": car_horn,
    "train-horn": train_horn,
    "ship-horn": ship_horn,
    "pea-whistle": pea_whistle,
    "steam-whistle": steam_whistle,
    "buzzer": buzzer,
    "sonar": sonar,
    "data-tones": data_tones,
}
