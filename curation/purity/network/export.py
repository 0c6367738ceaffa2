"""Writes the network as ONNX with weights in half precision, which the detector computes with in single precision.

The file keeps every tensor of the network under its own name, so that a training can start from it.
"""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from manifests.errors import LpseError
from manifests.files import write_beside

from ...detectors.purity.frontend import BANDS, FINE_BINS, MEL_FRAMES, STRIDE
from .network import LEVEL_SCALE, PurityNetwork

FRAMES = 8 * STRIDE  # of the traced example
PREFIX, HALF = "network.", ".half"  # of a tensor's name in the file


class NotExportedError(LpseError):
    """A file that is no exported purity network."""


class _Exported(nn.Module):
    """Probabilities (1, frames, 3) and levels in dB (1, frames, 3)."""

    def __init__(self, network: PurityNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, mel: Tensor, fine: Tensor) -> tuple[Tensor, Tensor]:
        out = self.network(mel, fine)
        return torch.sigmoid(out.log_odds), out.levels * LEVEL_SCALE


def to_onnx(network: PurityNetwork, notes: Mapping[str, str]) -> bytes:
    """The network for onnxruntime: inputs `mel` and `fine`, outputs `probability` and `level_db`, free in length.

    Weights are stored as float16 with a Cast behind each; the graph computes in float32. onnxruntime folds the casts
    and the batch normalizations when it opens the file. `notes` become the model's metadata.
    """
    import onnx

    plain = _Exported(copy.deepcopy(network).cpu().eval())
    example = (torch.zeros(1, FRAMES * MEL_FRAMES, BANDS), torch.zeros(1, FRAMES, FINE_BINS))
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        torch.onnx.export(
            plain, example, cast(Any, buffer), input_names=["mel", "fine"], output_names=["probability", "level_db"],
            dynamic_axes={"mel": {1: "mel_frames"}, "fine": {1: "frames"}, "probability": {1: "frames"},
                          "level_db": {1: "frames"}},
            opset_version=17, dynamo=False, training=torch.onnx.TrainingMode.PRESERVE,  # else names are lost
        )  # fmt: skip
    model = onnx.load_model_from_string(buffer.getvalue())
    _pad_in_convolutions(model)
    _halve(model)
    del model.metadata_props[:]
    for key, value in sorted(notes.items()):
        model.metadata_props.add(key=key, value=value)
    model.producer_name, model.producer_version = "lpse", ""
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def write_onnx(network: PurityNetwork, path: Path, notes: Mapping[str, str]) -> None:
    """Write the exported network beside and rename it."""
    with write_beside(path) as file:
        file.write(to_onnx(network, notes))


def read_onnx(path: Path) -> dict[str, Tensor]:
    """The tensors of an exported network, for `PurityNetwork.load_state_dict`. Raises NotExportedError."""
    import onnx
    from onnx import numpy_helper

    try:
        stored = onnx.load(path).graph.initializer
    except Exception as error:  # protobuf's own errors have no common base with those of files
        raise NotExportedError(f"{path}: not a readable ONNX file: {str(error).splitlines()[0]}") from error
    found = {
        one.name.removeprefix(PREFIX).removesuffix(HALF): torch.from_numpy(
            numpy_helper.to_array(one).astype(np.float32)
        )
        for one in stored
        if one.name.startswith(PREFIX)
    }
    normalized = {name.rpartition(".")[0] for name in found if name.endswith(".running_mean")}
    if not normalized:
        raise NotExportedError(f"{path}: holds no purity network")
    return found | {f"{name}.num_batches_tracked": torch.tensor(0) for name in normalized}


def _pad_in_convolutions(model: Any) -> None:
    """Give the convolutions behind the body's paddings that padding as their own, in place.

    onnxruntime pads inside a convolution for nothing; a Pad node copies the whole input. All Pad nodes are the body's:
    one row and one column of zeros after the end.
    """
    graph = model.graph
    pads = {node.output[0]: node for node in graph.node if node.op_type == "Pad"}
    for node in graph.node:
        if node.op_type == "Conv" and node.input[0] in pads:
            own = next(attribute for attribute in node.attribute if attribute.name == "pads")
            own.ints[:] = [0, 0, 1, 1]
            node.input[0] = pads[node.input[0]].input[0]
    while True:  # the paddings, and what only they used
        used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
        kept = [node for node in graph.node if used & set(node.output)]
        if len(kept) == len(graph.node):
            return
        del graph.node[:]
        graph.node.extend(kept)


def _halve(model: Any) -> None:
    """Store the kernels of convolutions as float16, each with a Cast to float32 behind it, in place."""
    import onnx
    from onnx import numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1:
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{name}{HALF}"))
            casts.append(onnx.helper.make_node("Cast", [f"{name}{HALF}"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
