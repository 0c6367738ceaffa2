"""Fits `<detector>-int8`: calibrates an 8-bit network on a corpus's audio and reports how its outputs changed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manifests.files import write_beside

from ...backends.onnx import open_session
from ...backends.weights import ModelSetup, ModelUnavailable
from .. import audioset
from .clip import windows
from .frame import SHORTEST
from .frontend import log_mel
from .graph import PROBES, layers_of, model
from .int8 import Responses, quantized
from .library import load
from .runtime import NETWORKS, Network, Runtime

HELD_OUT = 4  # every fourth sound is used for the report only
THRESHOLDS = (0.1, 0.5)
BATCH = 8
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Report:
    """Changes of the probabilities from float32 to 8 bits, on audio that was not used for calibration.

    `largest`, `mean`, `percentile99` of |change|, over all classes; `lanes`: the same in that order for each class
    group. `crossed`: by threshold, the share of frames in which a group's decision changes.
    """

    detector: str
    calibrated_on: int
    reported_on: int
    frames: int
    largest: float
    mean: float
    percentile99: float
    lanes: Mapping[str, tuple[float, float, float]]
    crossed: Mapping[str, float]

    def __str__(self) -> str:
        worst = max(self.lanes, key=lambda name: self.lanes[name][0])
        crossings = ", ".join(f"{100 * share:.2f} % of frames cross {limit}" for limit, share in self.crossed.items())
        return (
            f"{self.detector} in 8 bits: calibrated on {self.calibrated_on} sounds, compared on {self.reported_on} "
            f"others ({self.frames} frames)\n"
            f"probabilities change by {self.largest:.4f} at most, {self.percentile99:.4f} at the 99th percentile, "
            f"{self.mean:.5f} on average\n"
            f"class groups: {worst} by {self.lanes[worst][0]:.4f} at most; {crossings}"
        )


def calibrate(detector: str, setup: ModelSetup, sounds: Iterable[Array], folder: Path) -> Report:
    """Write `model.onnx` and `report.json` into the empty `folder`; `sounds` are mono at 32 kHz, one per recording.

    Every fourth of the `sounds` is held out for the report; of a single one, its second half. Raises ModelUnavailable
    if the weights are missing or invalid, or without audio.
    """
    network = NETWORKS[detector]
    runtime = Runtime(network, setup)
    layers = layers_of(load(network.name, runtime.weights))
    fit_on, held_out = _split(network, sounds)
    responses = _responses(model(layers, clip=network.clip, probes=True), fit_on)
    levelled, eight_bit = quantized(layers, responses)
    with write_beside(folder / "model.onnx") as file:
        file.write(model(levelled, clip=network.clip, eight_bit=eight_bit))
    before = _probabilities(model(layers, clip=network.clip), held_out)
    after = _probabilities(folder / "model.onnx", held_out)
    comparison = report(detector, len(fit_on), len(held_out), before, after)
    with write_beside(folder / "report.json") as file:
        file.write(json.dumps(asdict(comparison), indent=1, sort_keys=True).encode() + b"\n")
    return comparison


def report(detector: str, calibrated_on: int, reported_on: int, before: Array, after: Array) -> Report:
    """Compare probabilities (frames, 527)."""
    groups = [audioset.group_maxima(values).astype(np.float32) for values in (before, after)]
    change = np.abs(groups[1] - groups[0])
    return Report(
        detector,
        calibrated_on,
        reported_on,
        len(before),
        *_figures(np.abs(after - before)),
        {name: _figures(change[:, i]) for i, name in enumerate(audioset.GROUPS)},
        {
            str(limit): float(np.mean(np.any((groups[0] >= limit) != (groups[1] >= limit), axis=1)))
            for limit in THRESHOLDS
        },
    )


def _figures(change: Array) -> tuple[float, float, float]:
    return float(change.max()), float(change.mean()), float(np.percentile(change, 99))


def _split(network: Network, sounds: Iterable[Array]) -> tuple[list[Array], list[Array]]:
    """Log-mel spectra (n, frames, 64) of the sounds for calibration, and of those for the report."""
    audible = [sound for sound in sounds if len(sound)]
    if not audible:
        raise ModelUnavailable(f"{network.detector}-int8: no audio to calibrate on")
    if len(audible) == 1:
        audible = np.array_split(audible[0], 2)
    spectra = [_spectra(network, sound) for sound in audible]
    held_out = range(HELD_OUT - 1, len(spectra), HELD_OUT) or range(len(spectra) - 1, len(spectra))
    return [one for i, one in enumerate(spectra) if i not in held_out], [spectra[i] for i in held_out]


def _spectra(network: Network, sound: Array) -> Array:
    pieces = windows(sound) if network.clip else np.pad(sound, (0, max(0, SHORTEST - len(sound))))[None]
    return np.stack([log_mel(piece) for piece in pieces])


def _responses(probing: bytes, spectra: list[Array]) -> Responses:
    session, responses = open_session(probing), Responses()
    for batch in _batches(spectra):
        for name, values in zip(PROBES, session.run(list(PROBES), {"log_mel": batch}), strict=True):
            responses.add(name, values)
    return responses


def _probabilities(source: Path | bytes, spectra: list[Array]) -> Array:
    session = open_session(source)
    outputs = [session.run(["probabilities"], {"log_mel": batch})[0] for batch in _batches(spectra)]
    return np.concatenate([np.asarray(values, np.float32).reshape(-1, audioset.CLASSES) for values in outputs])


def _batches(spectra: list[Array]) -> Iterable[Array]:
    for one in spectra:
        yield from (one[i : i + BATCH] for i in range(0, len(one), BATCH))
