"""Engines, motors and rotors: harmonic sounds whose pitch follows load, and the hum of machines that run steadily."""

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
    gain_frames,
    grit,
    level,
    lines,
    modes,
    moving_filter,
    noise,
    phase,
    pulse,
    resonate,
    seconds,
    smooth,
    stack,
    struck,
    through,
    tone,
    wander,
)


def load_curve(rng: Rng, n: int, idle: float, top: float) -> Wave:
    """A speed between `idle` and `top` that is held, raised and let fall, as by a pedal; with a slight tremble."""
    times, values, now = [0.0], [idle * between(rng, 1, 1.5)], 0.0
    while now < n / RATE:
        goal = rng.choice([idle, between(rng, idle, top), values[-1]])
        change = between(rng, 0.3, 4.0)
        hold = between(rng, 0.2, 5.0)
        times += [now + hold, now + hold + change]
        values += [values[-1], float(goal)]
        now += hold + change
    return smooth(times, values, seconds(n)) * (1 + 0.006 * tone(between(rng, 4, 9), n))


def combustion(rng: Rng, n: int, rpm: Wave, cylinders: int, roughness: float = 0.2) -> Wave:
    """A four-stroke engine: uneven firing pulses through pipe resonances, with noise that follows the firing.

    `rpm` is (n,), in revolutions per minute; the pulses come `cylinders` / 2 times per revolution.
    """
    firing = np.cumsum(rpm) / 60 / RATE * cylinders / 2
    times = crossings(firing + rng.uniform())
    weights = rng.uniform(1 - roughness, 1 + roughness, cylinders)[np.arange(len(times)) % cylinders]
    train = clicks(
        n, times + rng.normal(0, 0.0004 * (1 + roughness), len(times)), weights * rng.normal(1, 0.1, len(times))
    )
    length = RATE // 4
    dry = through(train, decay(length, between(rng, 0.006, 0.05), between(rng, 0.0003, 0.003)))
    dry += grit(rng, n, times, weights, between(rng, 0.01, 0.08)) * between(rng, 0.01, 0.3)
    centres = [between(rng, 45, 120), between(rng, 120, 350), between(rng, 350, 1100), between(rng, 1200, 3500)]
    wet = resonate(dry, centres, [c / between(rng, 2, 8) for c in centres], list(rng.uniform(0.2, 1, 4)))
    hiss = noise(rng, n, 3, 200, 6000) * (0.3 + np.abs(np.sin(np.pi * firing))) * (rpm / rpm.max()) ** 1.5
    whine = stack(rpm / 60 * float(rng.integers(7, 31)), n, [1, 0.4, 0.2], rng) * between(rng, 0.005, 0.12)
    return np.asarray(level(wet) * (rpm / rpm.max()) ** 0.5 + between(rng, 0.03, 0.4) * level(hiss) + whine)


def engine_idle(rng: Rng, n: int) -> Wave:
    """An engine that idles, with slow hunting of its speed."""
    rpm = wander(rng, n, 1.5, 1, 1.06) * between(rng, 550, 1100)
    return combustion(rng, n, rpm, int(rng.choice([1, 2, 3, 4, 6, 8])), between(rng, 0.05, 0.6))


def engine_revving(rng: Rng, n: int) -> Wave:
    """An engine under a changing load."""
    idle = between(rng, 600, 1400)
    return combustion(rng, n, load_curve(rng, n, idle, idle * between(rng, 2, 6)), int(rng.choice([1, 2, 4, 6, 8])))


def two_stroke(rng: Rng, n: int) -> Wave:
    """A small fast engine: moped, chainsaw, model aircraft, lawn mower."""
    rpm = load_curve(rng, n, between(rng, 1800, 3000), between(rng, 6000, 14000))
    return combustion(rng, n, rpm, 2, between(rng, 0.02, 0.2))


def diesel_knock(rng: Rng, n: int) -> Wave:
    """A slow diesel engine with hard knocks."""
    rpm = wander(rng, n, 3, 1, 1.3) * between(rng, 250, 700)
    base = combustion(rng, n, rpm, int(rng.choice([1, 2, 4, 6])), 0.4)
    knocks = crossings(np.cumsum(rpm) / 120 / RATE * 4)
    body = struck(RATE // 5, *modes(rng, 500, 4000, 12, 0.05), rng)
    return level(base) + between(rng, 0.1, 0.8) * level(
        through(clicks(n, knocks, rng.uniform(0.3, 1, len(knocks))), body)
    )


def pass_by(rng: Rng, n: int) -> Wave:
    """A vehicle that comes, passes and leaves: its pitch falls by the Doppler effect, its tyres rush."""
    at, speed, distance = n / RATE * rng.uniform(0.3, 0.7), between(rng, 8, 50), between(rng, 3, 25)
    away = speed * (seconds(n) - at)
    radius = np.sqrt(away**2 + distance**2)
    shift = 1 / (1 + speed / 343 * away / radius)
    rpm = between(rng, 1500, 4500) * shift
    tyres = noise(rng, n, 4, 150, 5000)
    near = distance / radius
    cut = gain_frames(n)
    edge = 1500 + 5000 * near[::128][: len(cut[0])]
    edge = np.r_[edge, np.full(max(0, len(cut[0]) - len(edge)), edge[-1])][:, None]
    sound = level(combustion(rng, n, rpm, 4)) + between(rng, 0.3, 3) * tyres
    return moving_filter(sound, 1 / (1 + (cut[1] / edge) ** 4)) * near


def electric_motor(rng: Rng, n: int) -> Wave:
    """A motor with brushes and gears, as of a drill or a vacuum cleaner, that starts, is loaded and stops."""
    length = n / RATE
    base = between(rng, 60, 400)
    times, values = [0.0], [0.05]
    now = rng.uniform(0, 0.5)
    while now < length:
        run = between(rng, 0.8, 8)
        times += [now + 0.02, now + between(rng, 0.2, 0.8), now + run, now + run + between(rng, 0.3, 1.5)]
        values += [0.05, 1, rng.uniform(0.7, 1), 0.05]
        now = times[-1] + between(rng, 0.1, 1.5)
        times = list(np.maximum.accumulate(times))
    speed = np.interp(seconds(n), times, values) * wander(rng, n, 0.5, 0.9, 1.0)
    slots = int(rng.integers(6, 24))
    sound = stack(base * speed, n, list(rng.uniform(0, 1, 8) / np.arange(1, 9)), rng)
    sound += stack(base * slots / 2 * speed, n, [0.8, 0.5, 0.3, 0.2], rng) * between(rng, 0.1, 0.6)
    rush = noise(rng, n, 2, 300, 7500) * between(rng, 0.1, 1.5) * speed**2
    return level(sound * speed) * 0.7 + rush


def servo(rng: Rng, n: int) -> Wave:
    """Short moves of small motors, as of a robot, a printer or a camera: glides between changing speeds."""
    out = np.zeros(n)
    now = rng.uniform(0, 0.3)
    teeth = between(rng, 3, 9)
    while now < n / RATE - 0.1:
        run = round(between(rng, 0.08, 1.2) * RATE)
        top = between(rng, 80, 500)
        ramp = between(rng, 0.03, 0.2)
        speed = np.maximum(top * np.minimum(1, np.minimum(seconds(run), seconds(run)[::-1]) / ramp), 5.0)
        sound = stack(speed * teeth, run, [1, 0.5, 0.6, 0.2, 0.3], rng) + 0.3 * noise(rng, run, 0, 800, 7000)
        sound *= pulse(run, 0.01, 0.02) * rng.uniform(0.4, 1)
        first = round(now * RATE)
        out[first : first + run] += sound[: n - first]
        now += run / RATE + between(rng, 0.02, 1.2)
    return out


def propeller(rng: Rng, n: int) -> Wave:
    """A propeller aircraft: blade harmonics that beat between two engines, and rushing air."""
    blades, rate = int(rng.integers(2, 5)), between(rng, 15, 45)
    out = np.zeros(n)
    for _ in range(int(rng.integers(1, 3))):
        speed = rate * blades * wander(rng, n, 4, 0.98, 1.02) * wander(rng, n, 9, 0.85, 1.1)
        tilt = rng.uniform(0.6, 1.3)
        out += stack(speed, n, list(rng.uniform(0.4, 1, 40) / np.arange(1, 41) ** tilt), rng)
    return level(out) * wander(rng, n, 5, 0.3, 1) + between(rng, 0.2, 1) * noise(rng, n, 4, 80, 5000)


def helicopter(rng: Rng, n: int) -> Wave:
    """A helicopter: slaps of the main rotor, whine of the tail rotor, turbine noise."""
    cycles = np.cumsum(between(rng, 9, 26) * wander(rng, n, 3, 0.97, 1.03)) / RATE
    slap = noise(rng, n, 5, 40, 3000) * (0.15 + np.exp(-8 * (cycles % 1)))
    thump = through(
        clicks(n, crossings(cycles), 1.0), decay(RATE // 3, 0.08, 0.01) * tone(between(rng, 40, 90), RATE // 3)
    )
    tail = stack(np.gradient(cycles) * RATE * between(rng, 4, 6), n, [1, 0.7, 0.5, 0.3, 0.2], rng)
    whine = tone(between(rng, 1800, 5000) * wander(rng, n, 3, 0.99, 1.01), n) * between(rng, 0.01, 0.1)
    return (level(slap) + level(thump) + 0.3 * level(tail) + whine) * wander(rng, n, 6, 0.2, 1)


def turbine(rng: Rng, n: int) -> Wave:
    """A jet turbine that spools up or down: whistling blade tones over roaring noise."""
    up = rng.random() < 0.5
    curve = smooth([0, n / RATE * rng.uniform(0.4, 1)], [0.25, 1] if up else [1, 0.3], seconds(n))
    speed = curve * between(rng, 900, 3200)
    tones = sum(
        tone(speed * ratio, n) * gain
        for ratio, gain in zip(rng.uniform(0.3, 2.2, 5), rng.uniform(0.1, 1, 5), strict=True)
    )
    return between(rng, 0.05, 0.7) * level(np.asarray(tones)) * curve + noise(rng, n, 3, 60, 7000) * curve**2


def mains_hum(rng: Rng, n: int) -> Wave:
    """Hum of a mains transformer, a lamp or a badly earthed cable, at 50 or 60 Hz, with buzzing harmonics."""
    base = float(rng.choice([50.0, 60.0])) * (1 + rng.normal(0, 0.0008))
    strong = 2 if rng.random() < 0.6 else 1
    tilt = rng.uniform(0.5, 2.5)
    gains = [rng.uniform(0.2, 1) / k**tilt * (1.0 if k % strong == 0 else 0.12) for k in range(1, 60)]
    return level(stack(base, n, gains, rng)) * wander(rng, n, 6, 0.7, 1) + between(rng, 0.005, 0.2) * noise(rng, n, 2)


def fan(rng: Rng, n: int) -> Wave:
    """A fan or air conditioner: rushing air with a blade tone that wobbles."""
    rate = between(rng, 8, 60) * wander(rng, n, 5, 0.96, 1.04)
    blade = stack(rate * int(rng.integers(3, 9)), n, list(rng.uniform(0.2, 1, 6) / np.arange(1, 7)), rng)
    air = noise(rng, n, rng.uniform(2, 6), 40, 7000) * (1 + 0.25 * tone(rate, n))
    return level(air) + between(rng, 0.03, 0.7) * level(blade)


def compressor(rng: Rng, n: int) -> Wave:
    """A refrigerator or air compressor that switches on, runs with a rattle, and stops with a shudder."""
    length = n / RATE
    begin, end = rng.uniform(0, 0.2) * length, rng.uniform(0.7, 1.1) * length
    on = np.interp(seconds(n), [begin, begin + 0.3, end, end + 0.6], [0, 1, 1, 0])
    rate = between(rng, 20, 50)
    hum = stack(rate * np.maximum(on, 0.3), n, list(rng.uniform(0.2, 1, 30) / np.arange(1, 31) ** 1.1), rng)
    times = crossings(np.cumsum(on * rate / int(rng.integers(1, 5))) / RATE)
    rattle = through(
        clicks(n, times, rng.uniform(0.1, 1, len(times))), struck(RATE // 4, *modes(rng, 300, 4000, 14, 0.08), rng)
    )
    return level(hum * on) + between(rng, 0.1, 0.8) * level(rattle) + 0.1 * noise(rng, n, 4) * (0.1 + on)


def gear_whine(rng: Rng, n: int) -> Wave:
    """Whining gears, as of a tram, a lift or a winch, that speed up, hold and slow down."""
    length = n / RATE
    speed = smooth([0, length * 0.3, length * 0.7, length], [0.1, 1, rng.uniform(0.8, 1), 0.1], seconds(n))
    out = np.zeros(n)
    for _ in range(int(rng.integers(1, 4))):
        out += stack(between(rng, 150, 1500) * speed, n, [1, rng.uniform(0.1, 0.6), 0.2, 0.1], rng) * rng.uniform(
            0.3, 1
        )
    return level(out) * speed * wander(rng, n, 1, 0.6, 1) + between(rng, 0.1, 0.8) * noise(rng, n, 4, 60, 5000) * speed


def saw_blade(rng: Rng, n: int) -> Wave:
    """A blade that cuts wood or metal: a ringing blade whose pitch sags as it cuts."""
    length = n / RATE
    cuts: Wave = np.zeros(n)
    now = rng.uniform(0.5, 1.5)
    while now < length:
        width = between(rng, 0.6, 3)
        cuts = np.maximum(cuts, lines([now, now + 0.15, now + width, now + width + 0.2], [0, 1, 0.8, 0], n))
        now += width + between(rng, 0.5, 2)
    speed = between(rng, 500, 1400) * (1 - 0.2 * cuts) * wander(rng, n, 2, 0.97, 1.03)
    blade = stack(speed, n, list(rng.uniform(0.2, 1, 10) / np.arange(1, 11) ** 0.7), rng)
    rasp = noise(rng, n, 0, 900, 7500) * (0.2 + cuts) * (1 + 0.8 * np.sin(phase(speed / 4, n)))
    return level(blade) * (0.3 + cuts) + between(rng, 0.3, 1.5) * rasp


def turning_wheels(rng: Rng, n: int) -> Wave:
    """Rolling wheels of a cart, a skateboard or a suitcase on a rough floor: noise bound to the turning."""
    rate = between(rng, 1, 6) * wander(rng, n, 2, 0.6, 1.3)
    cycles = np.cumsum(rate) / RATE
    texture = 1 + 0.6 * np.interp(cycles % 1, np.linspace(0, 1, 24), rng.uniform(-1, 1, 24))
    hits = crossings(np.cumsum(rate * between(rng, 2, 12)) / RATE)
    body = struck(RATE // 8, *modes(rng, 150, 2500, 16, 0.05), rng)
    knocks = through(clicks(n, hits, rng.uniform(0, 1, len(hits)) ** 3), body)
    return level(
        band(noise(rng, n, 3) * texture, between(rng, 60, 200), between(rng, 1500, 6000)) * (rate / rate.max())
    ) + level(knocks) * between(rng, 0.2, 1)


EFFECTS = {
    "engine-idle": engine_idle,
    "engine-revving": engine_revving,
    "two-stroke": two_stroke,
    "diesel": diesel_knock,
    "pass-by": pass_by,
    "electric-motor": electric_motor,
    "servo": servo,
    "propeller": propeller,
    "helicopter": helicopter,
    "turbine": turbine,
    "mains-hum": mains_hum,
    "fan": fan,
    "compressor": compressor,
    "gear-whine": gear_whine,
    "saw-blade": saw_blade,
    "wheels": turning_wheels,
}
