"""Writes Cnn14 and Cnn14_DecisionLevelMax, from the log-mel spectrogram on, as ONNX from the library's loaded network.

They are written node by node because the layout of the work determines the speed. Batch normalization is folded into
the convolutions. Time runs along an image's width. The late blocks process images of 4 x 12 and 2 x 6 with up to 150 MB
of weights, which a batch would load again for every image: there the whole batch lies side by side in one wide image,
with a blank column after each, which is 1.4 times as fast in all. In 8 bits the first convolution and the last two are
matrix products over each position's neighbourhood, and pooling is a separate convolution: ONNX Runtime's own 8-bit
pooling takes longer than the convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .library import BANDS, CLASSES

Array = NDArray[Any]
BLOCKS, WIDE_FROM = 6, 4  # blocks of two convolutions; the first block with its batch side by side
CLIP_FRAMES = 201  # in a window of 2 s
# inputs of convolutions 1 to 11; inputs of the pooling before an even one, and of the head
PROBES = (*(f"input{i}" for i in range(1, 2 * BLOCKS)), *(f"pool{i}" for i in range(2, 2 * BLOCKS + 1, 2)))


@dataclass(frozen=True, eq=False)
class Layers:
    """A network's weights with its normalization folded in, float32.

    `bands`: factor and offset of the 64 bands. `filters` (out, in, 3, 3: frequency, time) and `biases` (out,) of the
    twelve convolutions. `dense`: weights (in, out) and biases of the two layers at the end.
    """

    bands: tuple[Array, Array]
    filters: tuple[Array, ...] = field(repr=False)
    biases: tuple[Array, ...] = field(repr=False)
    dense: tuple[tuple[Array, Array], tuple[Array, Array]] = field(repr=False)


@dataclass(frozen=True, eq=False)
class EightBit:
    """Scales and filters of convolutions 1 to 11 in 8 bits; the first, on the spectrogram itself, stays in float.

    `filters`: int8 by convolution; `filter_scales`: (out,) float32; `input_scales`: the size of one step of the
    convolution's input, uint8 from 0; `pool_scales`: the same for the input of the pooling before a block.
    """

    filters: Mapping[int, NDArray[np.int8]] = field(repr=False)
    filter_scales: Mapping[int, NDArray[np.float32]] = field(repr=False)
    input_scales: Mapping[int, float]
    pool_scales: Mapping[int, float]


def layers_of(network: Any) -> Layers:
    """The weights of a loaded network of the library."""
    state = {name: value.numpy() for name, value in network.state_dict().items()}

    def normalization(name: str) -> tuple[Array, Array]:
        factor = state[f"{name}.weight"] / np.sqrt(state[f"{name}.running_var"].astype(np.float64) + network.bn0.eps)
        return factor, state[f"{name}.bias"] - state[f"{name}.running_mean"] * factor

    filters, biases = [], []
    for block in range(1, BLOCKS + 1):
        for i in (1, 2):
            factor, offset = normalization(f"conv_block{block}.bn{i}")
            # the library's images are (time, frequency)
            folded = state[f"conv_block{block}.conv{i}.weight"].swapaxes(2, 3) * factor[:, None, None, None]
            filters.append(np.ascontiguousarray(folded, np.float32))
            biases.append(offset.astype(np.float32))
    factor, offset = normalization("bn0")
    first, second = (
        (np.ascontiguousarray(state[f"{name}.weight"].T, np.float32), state[f"{name}.bias"].astype(np.float32))
        for name in ("fc1", "fc_audioset")
    )
    bands = factor.astype(np.float32), offset.astype(np.float32)
    return Layers(bands, tuple(filters), tuple(biases), (first, second))


def model(layers: Layers, *, clip: bool, eight_bit: EightBit | None = None, probes: bool = False) -> bytes:
    """The network as a serialized ONNX model.

    Input `log_mel` (n, frames, 64) in dB, 201 frames for `clip`; output `probabilities` (n, 527), or (n, frames // 32,
    527) otherwise. With `probes` the tensors that 8 bits would hold are outputs too, under the names PROBES.
    """
    return _Writer(layers, clip, eight_bit).model(probes)


class _Writer:
    def __init__(self, layers: Layers, clip: bool, eight_bit: EightBit | None) -> None:
        self._layers, self._clip, self._eight_bit = layers, clip, eight_bit
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def model(self, probes: bool) -> bytes:
        from onnx import TensorProto, helper

        self._add("Sigmoid", self._head(self._convolutions(probes)), name="probabilities")
        shape: list[str | int | None] = ["n", CLASSES] if self._clip else ["n", "segments", CLASSES]
        frames = CLIP_FRAMES if self._clip else "frames"
        outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, shape)]
        if probes:
            outputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in PROBES]
        inputs = [helper.make_tensor_value_info("log_mel", TensorProto.FLOAT, ["n", frames, BANDS])]
        graph = helper.make_graph(self._nodes, "panns", inputs, outputs, self._constants)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        return bytes(made.SerializeToString())

    def _add(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        from onnx import helper

        output = name or f"{kind}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def _constant(self, value: Any, kind: type[np.generic] = np.int64) -> str:
        from onnx import numpy_helper

        name = f"constant{len(self._constants)}"
        self._constants.append(
            numpy_helper.from_array(np.ascontiguousarray(value, kind).reshape(np.shape(value)), name)
        )
        return name

    def _convolutions(self, probes: bool) -> str:
        factor, offset = (self._constant(value, np.float32) for value in self._layers.bands)
        x = self._add("Add", self._add("Mul", "log_mel", factor), offset)
        x = self._add("Unsqueeze", self._add("Transpose", x, perm=[0, 2, 1]), self._constant([1]))
        height, width = BANDS, CLIP_FRAMES
        for block in range(BLOCKS):
            by_product = self._eight_bit is not None and block == BLOCKS - 1
            wide = self._clip and block >= WIDE_FROM and not by_product
            channels = len(self._layers.filters[2 * block])
            if wide:
                x = self._side_by_side(x, len(self._layers.filters[2 * block - 1]), height)
            for index in (2 * block, 2 * block + 1):
                if index % 2 and wide:
                    x = self._blank(x, channels, height, width)
                if probes and index:
                    x = self._add("Identity", x, name=f"input{index}")
                if by_product or (self._eight_bit and index == 0):
                    x = self._product(x, index, height, width)
                else:
                    x = self._convolution(x, index)
            if wide:
                x = self._batched(x, channels, height, width)
            if probes:
                x = self._add("Identity", x, name=f"pool{2 * block + 2}")
            if block < BLOCKS - 1:
                x = self._pool(x, 2 * block + 2)
                height, width = height // 2, width // 2
        return x

    def _convolution(self, x: str, index: int) -> str:
        """Convolution and rectifier; in 8 bits the result is stored as uint8, whose lowest value is the rectifier."""
        around: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
        if not self._eight_bit:
            weights, bias = (
                self._constant(value, np.float32) for value in (self._layers.filters[index], self._layers.biases[index])
            )
            return self._add("Relu", self._add("Conv", x, weights, bias, **around))
        x, weights, bias = self._operands(x, index, self._eight_bit.filters[index], axis=0)
        return self._to_8_bit(self._add("Conv", x, weights, bias, **around), self._scale_after(index))

    def _product(self, x: str, index: int, height: int, width: int) -> str:
        """As `_convolution` in 8 bits: each position's 3 x 3 neighbourhood as a row, times the filters as columns."""
        assert self._eight_bit is not None
        filters = self._eight_bit.filters[index] if index else self._layers.filters[index]
        count, channels = filters.shape[:2]
        columns = filters.transpose(2, 3, 1, 0).reshape(9 * channels, count)
        x = self._add("Transpose", x, perm=[0, 2, 3, 1])
        blank = [self._constant(0, np.uint8)] if index else []
        x = self._add("Pad", x, self._constant([0, 1, 1, 0, 0, 1, 1, 0]), *blank)
        ends = (-2, -1, np.iinfo(np.int64).max)
        shifted = [
            self._add("Slice", x, *(self._constant(value) for value in ([i, j], [ends[i], ends[j]], [1, 2])))
            for i in range(3)
            for j in range(3)
        ]
        x = self._add("Reshape", self._add("Concat", *shifted, axis=3), self._constant([-1, 9 * channels]))
        if index:
            x, weights, bias = self._operands(x, index, columns, axis=1)
        else:
            weights, bias = (self._constant(value, np.float32) for value in (columns, self._layers.biases[0]))
        x = self._to_8_bit(self._add("Gemm", x, weights, bias), self._scale_after(index))
        # one of the two is free: the batch of windows, or the length of the recording
        shape = [-1, height, width, count] if self._clip else [1, height, -1, count]
        return self._add("Transpose", self._add("Reshape", x, self._constant(shape)), perm=[0, 3, 1, 2])

    def _operands(self, x: str, index: int, weights: NDArray[np.int8], axis: int) -> tuple[str, str, str]:
        """Input, weights (output channels along `axis`) and bias of convolution `index`, dequantized."""
        assert self._eight_bit is not None
        step, scales = self._eight_bit.input_scales[index], self._eight_bit.filter_scales[index]
        steps = scales.astype(np.float64) * step
        whole = np.round(self._layers.biases[index] / steps).clip(-(2**31), 2**31 - 1)
        return (
            self._from_8_bit(x, step),
            self._from_8_bit(self._constant(weights, np.int8), scales, np.int8, axis),
            self._from_8_bit(self._constant(whole, np.int32), steps.astype(np.float32), np.int32),
        )

    def _scale_after(self, index: int) -> float:
        assert self._eight_bit is not None
        return self._eight_bit.pool_scales[index + 1] if index % 2 else self._eight_bit.input_scales[index + 1]

    def _pool(self, x: str, index: int) -> str:
        size: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}
        if not self._eight_bit:
            return self._add("AveragePool", x, **size)
        channels = len(self._layers.filters[index - 1])
        ones = self._constant(np.ones((channels, 1, 2, 2)), np.int8)
        x = self._from_8_bit(x, self._eight_bit.pool_scales[index])
        x = self._add("Conv", x, self._from_8_bit(ones, 0.25, np.int8), group=channels, **size)
        return self._to_8_bit(x, self._eight_bit.input_scales[index])

    def _to_8_bit(self, x: str, scale: float) -> str:
        return self._add("QuantizeLinear", x, self._constant(scale, np.float32), self._constant(0, np.uint8))

    def _from_8_bit(self, x: str, scale: Any, kind: type[np.generic] = np.uint8, axis: int = 0) -> str:
        zero = self._constant(np.zeros(np.shape(scale)), kind)
        along: dict[str, Any] = {"axis": axis} if np.ndim(scale) else {}
        return self._add("DequantizeLinear", x, self._constant(scale, np.float32), zero, **along)

    def _side_by_side(self, x: str, channels: int, height: int) -> str:
        """(n, channels, height, width) as one image (1, channels, height, n * (width + 1)), a blank after each."""
        return self._with_blank(self._add("Transpose", x, perm=[1, 2, 0, 3]), channels, height)

    def _blank(self, x: str, channels: int, height: int, width: int) -> str:
        """Reset the columns between the images to zero, as the next convolution's margins must be."""
        return self._with_blank(self._images(x, channels, height, width), channels, height)

    def _with_blank(self, x: str, channels: int, height: int) -> str:
        blank = [self._constant(0, np.uint8)] if self._eight_bit else []
        x = self._add("Pad", x, self._constant([0] * 7 + [1]), *blank)
        return self._add("Reshape", x, self._constant([1, channels, height, -1]))

    def _images(self, x: str, channels: int, height: int, width: int) -> str:
        """The output of `_side_by_side` as (channels, height, n, width)."""
        x = self._add("Reshape", x, self._constant([channels, height, -1, width + 1]))
        return self._add("Slice", x, self._constant([0]), self._constant([width]), self._constant([3]))

    def _batched(self, x: str, channels: int, height: int, width: int) -> str:
        return self._add("Transpose", self._images(x, channels, height, width), perm=[2, 0, 1, 3])

    def _head(self, x: str) -> str:
        """From the last block to the classes' logits."""
        if self._eight_bit:
            x = self._from_8_bit(x, self._eight_bit.pool_scales[2 * BLOCKS])
        x = self._add("ReduceMean", x, self._constant([2]), keepdims=0)
        if self._clip:
            time = self._constant([2])
            largest, mean = (self._add(kind, x, time, keepdims=0) for kind in ("ReduceMax", "ReduceMean"))
            x = self._add("Add", largest, mean)
        else:
            around: dict[str, Any] = {"kernel_shape": [3], "pads": [1, 1]}
            mean = self._add("AveragePool", x, count_include_pad=1, **around)
            x = self._add("Transpose", self._add("Add", self._add("MaxPool", x, **around), mean), perm=[0, 2, 1])
        x = self._add("Relu", self._dense(x, 0))
        return self._dense(x, 1)

    def _dense(self, x: str, index: int) -> str:
        weights, biases = (self._constant(value, np.float32) for value in self._layers.dense[index])
        return self._add("Add", self._add("MatMul", x, weights), biases)
