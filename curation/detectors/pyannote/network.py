"""Describes the network in a pyannote checkpoint, and builds the library's PyanNet with its weights.

A checkpoint is read as data (`checkpoint.py`), never unpickled: a file from any source can run no code.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...backends.checkpoint import Checkpoint, Inert
from ...backends.matplotlib_home import matplotlib_elsewhere
from ...backends.torchaudio_stub import ensure_torchaudio

RATE = 16_000
# SincNet's kernels (251, then 5 and 5) and poolings (3, 3 and 3), the first of them with its stride:
# models/blocks/sincnet.py of the library, through utils/receptive_field.py
FIRST_KERNEL, POOLED, REACH = 251, 27, 74
PROBLEMS = ("BINARY_CLASSIFICATION", "MONO_LABEL_CLASSIFICATION", "MULTI_LABEL_CLASSIFICATION")
# the library's enumerations (core/task.py), by value
MEMBERS = {
    "Problem": dict(enumerate((*PROBLEMS, "REPRESENTATION", "REGRESSION"))),
    "Resolution": {1: "FRAME", 2: "CHUNK"},
}
SETTINGS = ("sincnet", "lstm", "linear", "sample_rate", "num_channels")


@dataclass(frozen=True)
class Segmentation:
    """A checkpoint's description of its network. `duration`, `step` and `warm_up` are seconds.

    `sets` is the largest number of classes that a powerset joins; None if each class has its own output.
    """

    duration: float
    step: float
    warm_up: tuple[float, float]
    problem: str
    classes: tuple[str, ...]
    sets: int | None
    stride: int

    @property
    def window_samples(self) -> int:
        """Samples of a chunk."""
        return round(self.duration * RATE)

    @property
    def step_samples(self) -> int:
        """Samples from chunk to chunk."""
        return round(self.step * RATE)

    @property
    def frame_samples(self) -> int:
        """Samples from frame to frame."""
        return POOLED * self.stride

    @property
    def heard_samples(self) -> int:
        """Receptive field of a frame in samples, of the convolutions; the LSTM adds the rest of its chunk."""
        return FIRST_KERNEL + REACH * self.stride


def describe(content: Any) -> Segmentation:
    """The network of a checkpoint's content. Raises ValueError, one line, if it does not detect speech."""
    own = content.get("pyannote.audio") if isinstance(content, Mapping) else None
    if not isinstance(own, Mapping):
        raise ValueError("not a pyannote checkpoint: 'pyannote.audio' is missing")
    try:
        return _described(own, content)
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(f"invalid pyannote checkpoint ({type(error).__name__}: {error})") from error


def _described(own: Mapping[str, Any], content: Mapping[str, Any]) -> Segmentation:
    kind = own["architecture"]["class"]
    if kind != "PyanNet":
        raise ValueError(f"network {kind}, this detector runs PyanNet")
    specifications, settings = own["specifications"], content["hyper_parameters"]
    if not isinstance(specifications, Inert):
        raise ValueError("trained for several tasks at once, not for speech or speakers alone")
    task = specifications.state
    problem, resolution = _member(task["problem"]), _member(task["resolution"])
    classes = tuple(map(str, task["classes"] or ()))
    speech = classes == ("speech",) or (len(classes) > 0 and all(name.startswith("speaker") for name in classes))
    if problem not in PROBLEMS or resolution != "FRAME" or not speech:
        raise ValueError(f"trained for {', '.join(classes) or problem.lower()}, not for speech or speakers")
    sets = task.get("powerset_max_classes")
    if (problem == "MONO_LABEL_CLASSIFICATION") != (sets is not None):
        raise ValueError(f"powerset of {sets} classes for a task of {problem.lower()}")
    rate = settings.get("sample_rate", RATE)
    if rate != RATE:
        raise ValueError(f"expects {rate} Hz, this detector runs at {RATE}")
    duration = float(task["duration"])
    left, right = map(float, task.get("warm_up") or (0.0, 0.0))
    # as Inference does: a tenth of a chunk unless trained otherwise
    step = left or 0.1 * duration
    if not 0 < step <= duration <= 60 or abs(step * RATE - round(step * RATE)) > 1e-6:
        raise ValueError(f"chunks of {duration} s every {step} s, must be at most 60 s, whole samples apart")
    stride = int((settings.get("sincnet") or {}).get("stride", 10))
    network = Segmentation(duration, step, (left, right), problem, classes, None if sets is None else int(sets), stride)
    # then every block has a frame that a whole chunk covers
    if stride < 1 or network.step_samples <= network.heard_samples + network.frame_samples:
        raise ValueError(f"chunks {step} s apart, too close for a stride of {stride} samples")
    return network


def _member(value: Inert) -> str:
    """The name of a pickled enumeration member: pickled by value, or through getattr by name."""
    if value.path == "builtins.getattr":
        return str(value.args[1])
    return MEMBERS[value.path.rpartition(".")[2]][value.args[0]]


def build(checkpoint: Checkpoint, network: Segmentation) -> Any:
    """The library's PyanNet with the checkpoint's weights. Raises ValueError, one line, if they do not fit."""
    import torch

    weights = checked(checkpoint)
    lib = library()
    given = checkpoint.content["hyper_parameters"]
    try:
        model = lib.PyanNet(**{name: given[name] for name in SETTINGS if name in given})
        model.specifications = lib.Specifications(
            problem=lib.Problem[network.problem],
            resolution=lib.Resolution.FRAME,
            duration=network.duration,
            warm_up=network.warm_up,
            classes=list(network.classes),
            powerset_max_classes=network.sets,
            permutation_invariant=network.classes != ("speech",),
        )
        model.build()
    except (TypeError, ValueError, KeyError, RuntimeError, AssertionError, AttributeError) as error:
        raise ValueError(f"invalid settings for PyanNet ({type(error).__name__})") from error
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    # a trained loss is saved beside the network and is not part of it
    held = {name: value.shape for name, value in weights.items() if not name.startswith("loss_func.")}
    for fault, names in (
        ("lacks", sorted(own.keys() - held.keys())),
        ("unlike PyanNet, has", sorted(held.keys() - own.keys())),
        ("has a wrong shape of", sorted(name for name in own.keys() & held.keys() if own[name] != held[name])),
    ):
        if names:
            raise ValueError(f"{fault} {names[0]}" + (f" and {len(names) - 1} more" if names[1:] else ""))
    model.load_state_dict({name: torch.from_numpy(weights[name]) for name in own})
    return model.eval()


def checked(checkpoint: Checkpoint) -> dict[str, NDArray[Any]]:
    """The weights, complete and finite. Raises ValueError, one line, otherwise."""
    weights = checkpoint.state()
    broken = [name for name, value in weights.items() if not np.all(np.isfinite(value))]
    if broken:
        raise ValueError(f"tensor {broken[0]} is not finite")
    return weights


@cache
def library() -> SimpleNamespace:
    """The parts of pyannote.audio in use, imported without warnings, telemetry or files. Passes on import errors."""
    # both are on by default; onnxruntime comes with torchmetrics and writes a device id to the home folder
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    with warnings.catch_warnings(), matplotlib_elsewhere():
        # torchcodec reads files, which is not needed here
        warnings.filterwarnings("ignore", r"\s*torchcodec is not installed correctly", UserWarning)
        ensure_torchaudio()
        from pyannote.audio import Inference
        from pyannote.audio.core.task import Problem, Resolution, Specifications
        from pyannote.audio.models.segmentation import PyanNet
        from pyannote.core import SlidingWindow
    return SimpleNamespace(
        Inference=Inference,
        PyanNet=PyanNet,
        Problem=Problem,
        Resolution=Resolution,
        SlidingWindow=SlidingWindow,
        Specifications=Specifications,
    )


def block_plan(network: Segmentation, pooled: int) -> tuple[int, int, int]:
    """Core, left and right context in samples.

    The core is the smallest whole number of steps and of `pooled` frames that is at least five times its context.
    Chunks that overlap it begin less than a chunk before it, and before its end.
    """
    step, window = network.step_samples, network.window_samples
    left = (math.ceil(window / step) - 1) * step
    period = math.lcm(step, network.frame_samples * pooled)
    return period * math.ceil(5 * left / period), left, window - step
