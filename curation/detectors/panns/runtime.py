"""Runs one PANNs network on the configured runtime: its identity, its prepared files, and how it is opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.files import write_beside
from manifests.fits import fit_fault
from manifests.healing import report_healed

from ...backends.onnx import open_session
from ...backends.weights import ModelSetup, ModelUnavailable, weights_hash
from .frontend import log_mel
from .graph import layers_of, model
from .library import SOURCE, folder, load

VERSION = "1"
RUNTIMES = ("torch", "onnx", "int8")
SEGMENT = 32  # frames that share one output of the frame-wise network
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Network:
    """A detector's network: its class in panns-inference, the file name of its released weights, its output."""

    detector: str
    name: str
    released: str
    output: str

    @property
    def clip(self) -> bool:
        return self.name == "Cnn14"


CLIP = Network("panns_clip", "Cnn14", "Cnn14_mAP=0.431.pth", "clipwise_output")
FRAME = Network("panns_frame", "Cnn14_DecisionLevelMax", "Cnn14_DecisionLevelMax_mAP=0.385.pth", "framewise_output")
NETWORKS = {network.detector: network for network in (CLIP, FRAME)}


@dataclass(frozen=True)
class Runtime:
    """A network in a setup. Raises ModelUnavailable, one line, if anything is missing."""

    network: Network
    setup: ModelSetup

    @property
    def kind(self) -> str:
        """One of RUNTIMES, by default "onnx"."""
        chosen = dict(self.setup.runtimes).get(self.network.detector) or "onnx"
        if chosen not in RUNTIMES:
            raise ModelUnavailable(
                f"{self.network.detector}: unknown runtime {chosen!r}; available: {', '.join(RUNTIMES)}"
            )
        return chosen

    @cached_property
    def weights(self) -> Path:
        """The checkpoint, which is only read."""
        folder()
        return self.setup.weights_file(self.network.detector, self.network.released, SOURCE)

    @cached_property
    def version(self) -> str:
        """Version of this code, hash of the weights, runtime, and hash of the fit if there is one."""
        parts = [VERSION, self._hash(), self.kind]
        return "-".join([*parts, self._fit()[1]] if self.kind == "int8" else parts)

    def prepare(self) -> None:
        """Make the files that workers open, and read the weights, so that their faults are reported once."""
        exported = self._exported()
        if self.kind == "torch" or (self.kind == "onnx" and exported is None):
            load(self.network.name, self.weights)
        elif self.kind == "onnx" and exported is not None and not exported.is_file():
            self._export(exported)
        elif self.kind == "int8":
            place, _ = self._fit()
            if problem := fit_fault(place):
                raise self._damaged(place, problem)

    def _damaged(self, place: Path, problem: str) -> ModelUnavailable:
        name = f"{self.network.detector}-int8"
        return ModelUnavailable(f"{place}: damaged: {problem}: run lpse refit {name} --corpus DIR")

    def _export(self, path: Path) -> None:
        content = self.build()
        with write_beside(path) as file:
            file.write(content)

    def _opened(self, path: Path) -> Callable[[Array], Array] | None:
        """As `open`, for a model file; None for a damaged one."""
        try:
            return self.session(path)
        except ModelUnavailable:
            raise
        except Exception:  # the library has an error of its own for each fault
            return None

    def open(self) -> Callable[[Array], Array]:
        """The network as a function from samples (n, samples) at 32 kHz to float32 probabilities.

        `panns_clip`: (n, 527) of windows of 2 s. `panns_frame`: (n, samples // 320 + 1, 527).
        """
        if self.kind == "torch":
            return self._library(load(self.network.name, self.weights))
        if self.kind == "int8":
            place, _ = self._fit()
            opened = self._opened(place / "model.onnx")
            if opened is None:  # a fit of an earlier version has no checksums
                raise self._damaged(place, "model.onnx cannot be opened")
            return opened
        exported = self._exported()
        if exported is None or not exported.is_file():
            return self.session(self.build())
        opened = self._opened(exported)
        if opened is None:
            self._export(exported)
            report_healed(exported, "damaged: it cannot be opened", "made again from the weights")
            opened = self.session(exported)
        return opened

    def build(self) -> bytes:
        """The network as an ONNX model in float32."""
        return model(layers_of(load(self.network.name, self.weights)), clip=self.network.clip)

    def session(self, source: Path | bytes) -> Callable[[Array], Array]:
        """As `open`, for an ONNX model."""
        session = open_session(source)

        def probabilities(samples: Array) -> Array:
            spectra = np.stack([log_mel(one) for one in samples])
            outputs = np.asarray(session.run(["probabilities"], {"log_mel": spectra})[0], np.float32)
            return outputs if self.network.clip else by_frame(outputs, spectra.shape[1])

        return probabilities

    def _library(self, network: Any) -> Callable[[Array], Array]:
        import torch

        def probabilities(samples: Array) -> Array:
            with torch.inference_mode():
                outputs = network(torch.from_numpy(np.ascontiguousarray(samples, np.float32)))
            return np.asarray(outputs[self.network.output].numpy(), np.float32)

        return probabilities

    def _hash(self) -> str:
        try:
            return weights_hash(self.weights)
        except OSError as error:
            raise ModelUnavailable(f"{self.weights}: cannot be read ({error.strerror})") from error

    def _exported(self) -> Path | None:
        fits = self.setup.fits
        return fits / f"{self.network.detector}-onnx-{self._hash()}-{VERSION}" / "model.onnx" if fits else None

    def _fit(self) -> tuple[Path, str]:
        """The active calibration: its folder and its hash."""
        name = f"{self.network.detector}-int8"
        hash = dict(self.setup.active).get(name)
        if self.setup.fits is None or not hash:
            raise ModelUnavailable(f"{name} has not been calibrated: run lpse refit {name} --corpus DIR")
        place = self.setup.fits / f"{name}-{hash}"
        if not (place / "model.onnx").is_file():
            raise ModelUnavailable(f"no file {place / 'model.onnx'}: run lpse refit {name} --corpus DIR")
        return place, hash


def by_frame(segments: Array, frames: int) -> Array:
    """Outputs (n, segments, classes) for SEGMENT frames each as (n, frames, classes); the last one extends to the end.

    Equals the library's Interpolator and pad_framewise_output.
    """
    nearest = np.minimum(np.arange(frames) // SEGMENT, segments.shape[1] - 1)
    return segments[:, nearest]
