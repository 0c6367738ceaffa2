"""Speech in long sentences: synthetic voices in many languages, made less even by a vocoder, with pauses between."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..pool import RATE, Split
from .jobs import Job, finished
from .signals import Rng, Wave, between, level, wander
from .texts import sentence
from .vocoder import HOP, analyse, resynthesise
from .voices import LICENCES, Speaker, speaker, spoken

PACKAGE = "synthesis-speech"
VERSION = "1"


def jobs(train: int = 300, val: int = 45) -> list[Job]:
    """The jobs of synthetic speech: sources of 8 to 30 s."""
    numbers: dict[Split, int] = {"train": train, "val": val}
    return [_job(split, seed) for seed in range(max(train, val)) for split, number in numbers.items() if seed < number]


def _job(split: Split, seed: int) -> Job:
    rng = np.random.default_rng([seed, {"train": 11, "val": 12, "test": 13}[split]])
    who = speaker(rng, split)
    path = f"{who.name}/{split}-{seed}"
    render = partial(monologue, who, seed)
    return Job(path, LICENCES[who.engine], "speech", who.language, who.group, split, render)


def monologue(who: Speaker, seed: int) -> NDArray[np.int16]:
    """Sentences of a voice with pauses of 0.1 to 1.2 s: int16 (n,) at RATE."""
    rng = np.random.default_rng([seed, 14])
    goal, parts, length = between(rng, 8, 26), list[Wave](), 0.0
    size = between(rng, 0.85, 1.18) if rng.random() < 0.4 else 1.0
    # the engine that takes a second to start speaks all its sentences at once
    together = round(goal / 3.5) if who.engine == "hibari" else 1
    while length < goal:
        text = " ".join(sentence(rng, who.language) for _ in range(together))
        said = spoken(rng, who, text)
        if size != 1.0:
            said = humanised(rng, said, size)
        parts += [level(said) * between(rng, 0.7, 1.3), np.zeros(round(between(rng, 0.1, 1.2) * RATE))]
        length += (len(parts[-2]) + len(parts[-1])) / RATE
    return finished(np.concatenate(parts[:-1]), rng.uniform(-34, -16))


def humanised(rng: Rng, x: Wave, size: float = 1.0) -> Wave:
    """Speech with an uneven pace and a livelier pitch; `size` scales its formants, and moves the pitch with them."""
    voice = analyse(x)
    pace = wander(rng, len(voice) * HOP, 0.6, 0.8, 1.25)[::HOP]
    at = np.cumsum(pace)
    at = at[at < len(voice) - 1]
    nearest = np.rint(at).astype(int)
    lively = wander(rng, len(at) * HOP, 0.35, 0.88, 1.14)[::HOP] * np.exp(rng.normal(0, 0.004, len(at)))
    return resynthesise(rng, voice, at, voice.pitch[nearest] * lively[: len(at)] * size ** rng.uniform(0.5, 2), size)
