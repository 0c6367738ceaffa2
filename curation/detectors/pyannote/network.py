"""The network in a pyannote checkpoint: what it says of itself, and the library's own PyanNet with its weights.

A checkpoint is read as data (`checkpoint.py`), never unpickled: a file from anywhere can run no code.
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
    """What a checkpoint says of its network. `duration`, `step` and `warm_up` are seconds.

    `sets` is how many of the classes a powerset joins at most, None where each class has an output of its own.
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
        """Samples that a frame hears through the convolutions; the LSTM brings it the rest of its chunk."""
        return FIRST_KERNEL + REACH * self.stride


def describe(content: Any) -> Segmentation:
    """The network of a checkpoint's content. Raises ValueError, one line, for what finds no speech."""
    own = content.get("pyannote.audio") if isinstance(content, Mapping) else None
    if not isinstance(own, Mapping):
        raise ValueError("no pyannote checkpoint, it lacks 'pyannote.audio'")
    try:
        return _described(own, content)
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(f"no usable pyannote checkpoint ({type(error).__name__}: {error})") from error


def _described(own: Mapping[str, Any], content: Mapping[str, Any]) -> Segmentation:
    kind = own["architecture"]["class"]
    if kind != "PyanNet":
        raise ValueError(f"holds a {kind}, this detector runs PyanNet")
    said, settings = own["specifications"], content["hyper_parameters"]
    if not isinstance(said, Inert):
        raise ValueError("was trained for several tasks at once, not for speech or speakers alone")
    task = said.state
    problem, resolution = _member(task["problem"]), _member(task["resolution"])
    classes = tuple(map(str, task["classes"] or ()))
    speech = classes == ("speech",) or (len(classes) > 0 and all(name.startswith("speaker") for name in classes))
    if problem not in PROBLEMS or resolution != "FRAME" or not speech:
        raise ValueError(f"was trained for {', '.join(classes) or problem.lower()}, not for speech or speakers")
    sets = task.get("powerset_max_classes")
    if (problem == "MONO_LABEL_CLASSIFICATION") != (sets is not None):
        raise ValueError(f"names a powerset of {sets} classes for a task of {problem.lower()}")
    rate = settings.get("sample_rate", RATE)
    if rate != RATE:
        raise ValueError(f"hears {rate} Hz, this detector gives {RATE}")
    duration = float(task["duration"])
    left, right = map(float, task.get("warm_up") or (0.0, 0.0))
    # as Inference does: a tenth of a chunk where nothing else was trained
    step = left or 0.1 * duration
    if not 0 < step <= duration <= 60 or abs(step * RATE - round(step * RATE)) > 1e-6:
        raise ValueError(f"hears chunks of {duration} s every {step} s, must be at most 60 s, whole samples apart")
    stride = int((settings.get("sincnet") or {}).get("stride", 10))
    network = Segmentation(duration, step, (left, right), problem, classes, None if sets is None else int(sets), stride)
    # then every block has a frame that a whole chunk reaches
    if stride < 1 or network.step_samples <= network.heard_samples + network.frame_samples:
        raise ValueError(f"hears chunks {step} s apart, too close for a stride of {stride} samples")
    return network


def _member(value: Inert) -> str:
    """The name of a pickled enumeration member: pickled by value, or through getattr by name."""
    if value.path == "builtins.getattr":
        return str(value.args[1])
    return MEMBERS[value.path.rpartition(".")[2]][value.args[0]]


def build(checkpoint: Checkpoint, network: Segmentation) -> Any:
    """The library's PyanNet with the checkpoint's weights. Raises ValueError, one line, where they are another's."""
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
        raise ValueError(f"its settings make no PyanNet ({type(error).__name__})") from error
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    # a trained loss is saved beside the network and not part of it
    held = {name: value.shape for name, value in weights.items() if not name.startswith("loss_func.")}
    for fault, names in (
        ("lacks", sorted(own.keys() - held.keys())),
        ("has, unlike PyanNet,", sorted(held.keys() - own.keys())),
        ("has another shape of", sorted(name for name in own.keys() & held.keys() if own[name] != held[name])),
    ):
        if names:
            raise ValueError(f"{fault} {names[0]}" + (f" and {len(names) - 1} more" if names[1:] else ""))
    model.load_state_dict({name: torch.from_numpy(weights[name]) for name in own})
    return model.eval()


def checked(checkpoint: Checkpoint) -> dict[str, NDArray[Any]]:
    """The weights, all there and finite; raises ValueError, one line, otherwise."""
    weights = checkpoint.state()
    broken = [name for name, value in weights.items() if not np.all(np.isfinite(value))]
    if broken:
        raise ValueError(f"tensor {broken[0]} is not finite")
    return weights


@cache
def library() -> SimpleNamespace:
    """What is used of pyannote.audio, imported without noise, telemetry or files. Raises whatever the import raises."""
    # both are on by default; onnxruntime comes with torchmetrics and notes a device id in the home folder
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    with warnings.catch_warnings(), matplotlib_elsewhere():
        # torchcodec reads files, and none is read here
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

    The core is the least whole number of steps and of `pooled` frames that is five times its context. The chunks that
    reach into it begin less than a chunk before it, and before its end.
    """
    step, window = network.step_samples, network.window_samples
    left = (math.ceil(window / step) - 1) * step
    period = math.lcm(step, network.frame_samples * pooled)
    return period * math.ceil(5 * left / period), left, window - step
