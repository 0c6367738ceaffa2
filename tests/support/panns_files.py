"""Checkpoints of PANNs' networks with random weights that behave, in the format of the released ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.detectors.panns import library, runtime

RATE = library.RATE


def scene(seconds: float, seed: int = 1) -> NDArray[np.float32]:
    """Noise, a buzzing voice-like pulse train and a chord in turn, 1.5 s each, louder and softer: scores move."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    noise = rng.standard_normal(len(t))
    pitch = 120 + 25 * np.sin(2 * np.pi * 0.7 * t)
    pulses = np.sign(np.sin(2 * np.pi * np.cumsum(pitch) / RATE)) * (np.sin(2 * np.pi * 3 * t) > -0.3)
    chord = sum(np.sin(2 * np.pi * f * t) for f in (220.0, 277.2, 329.6))
    turn = ((t + seed) // 1.5).astype(int) % 3
    loudness = 0.1 * (1.2 + np.sin(2 * np.pi * t / 4.1))
    return np.asarray(loudness * (0.05 * noise + np.choose(turn, [noise, pulses, chord])), np.float32)


def windows(sound: NDArray[np.float32], seconds: float = 2.0) -> NDArray[np.float32]:
    """The whole windows (n, seconds) of a sound, one after the other."""
    count = round(seconds * RATE)
    return sound[: len(sound) // count * count].reshape(-1, count)


def lively(network: runtime.Network, heard: NDArray[np.float32], seed: int = 0) -> Any:
    """A random network of the library whose answers spread and vary: its own initial weights, its means and variances
    measured on the windows `heard` (n, samples), layer by layer.

    With the means of 0 and variances of 1 that it is created with, spectra of -100 to 20 dB go through unscaled, what
    they have in common grows from layer to layer, and all probabilities come out at 0.5 whatever is heard.
    """
    import torch

    torch.manual_seed(seed)
    made = library.network(network.name)

    def measure(layer: Any, inputs: Any) -> None:
        layer.running_mean.copy_(inputs[0].mean((0, 2, 3)))
        layer.running_var.copy_(inputs[0].var((0, 2, 3)))

    normalizations = [layer for layer in made.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    hooks = [layer.register_forward_pre_hook(measure) for layer in normalizations]
    with torch.inference_mode():
        made(torch.from_numpy(np.ascontiguousarray(heard)))
    for hook in hooks:
        hook.remove()
    return made


def save(made: Any, path: Path) -> Path:
    """Save as the released checkpoints are, the filters in half precision: quicker, and under 300 MB."""
    import torch

    state = {
        key: value if key.startswith(library.FRONT_END) or not value.is_floating_point() else value.half()
        for key, value in made.state_dict().items()
    }
    torch.save({"iteration": 0, "model": state}, path)
    return path
