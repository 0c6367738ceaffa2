"""Read released files of weights: only tensors, only the wanted ones, only in the expected layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from curation.backends.checkpoint import CheckpointError, check_archive, is_archive
from curation.backends.weights import ModelUnavailable
from manifests.files import open_regular

Layout = Mapping[str, tuple[int, ...]]


def layout_of(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network's state."""
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def read_tensors(path: Path, model: str, layout: Layout, wanted: Callable[[str], bool]) -> dict[str, Tensor]:
    """The tensors of a .pth, .bin or .safetensors file whose names are `wanted`, float32, in memory of their own.

    Nothing in the file is executed. Raises ModelUnavailable, in one line, for a file that cannot be read as plain data
    and for one whose wanted tensors differ from `layout`.
    """
    try:
        open_regular(path).close()  # the libraries would wait for a pipe
        tensors = _safetensors(path, wanted) if path.suffix == ".safetensors" else _pickled(path, wanted)
    except OSError as error:
        raise ModelUnavailable(f"{model}: {path}: {error.strerror or error}") from error
    except CheckpointError as error:
        raise ModelUnavailable(
            f"{model}: {path} has no tensors that can be read ({error}): truncated, or of another kind"
        ) from error
    except Exception as error:  # a damaged file makes the readers raise anything, from EOFError to RuntimeError
        raise ModelUnavailable(
            f"{model}: {path} has no tensors that can be read ({type(error).__name__}): truncated, or of another kind"
        ) from error
    fault = tensors if isinstance(tensors, str) else _fault(tensors, layout)
    if isinstance(tensors, str) or fault:
        raise ModelUnavailable(f"{model}: {path} {fault}: not the released file")
    return {name: tensor.to(torch.float32, copy=True) for name, tensor in tensors.items()}


def _pickled(path: Path, wanted: Callable[[str], bool]) -> dict[str, Tensor] | str:
    loaded = load_plain(path)
    if not isinstance(loaded, dict):
        return f"contains a {type(loaded).__name__}, not named tensors"
    chosen = {name: value for name, value in loaded.items() if isinstance(name, str) and wanted(name)}
    other = next((name for name, value in chosen.items() if not isinstance(value, Tensor)), None)
    return chosen if other is None else f"contains {other} as a {type(chosen[other]).__name__}, not a tensor"


def load_plain(path: Path) -> Any:
    """The content of a PyTorch file as plain data, on the CPU, mapped into memory if its format allows it.

    Nothing in the file is executed, and what it declares is checked first; tensors may repeat few stored values, so
    compare their shapes before you copy them. Raises CheckpointError for a damaged zip
    archive, and any exception for other damage.
    """
    zipped = is_archive(path)
    if zipped:
        check_archive(path, repeats=True)
    # mapped: a file may have several networks, of which one is wanted
    return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)


def _safetensors(path: Path, wanted: Callable[[str], bool]) -> dict[str, Tensor]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys() if wanted(name)}  # noqa: SIM118


def _fault(tensors: Mapping[str, Tensor], layout: Layout) -> str | None:
    """Describe the first tensor that is missing, of another shape, or unknown."""
    for name, shape in layout.items():
        if name not in tensors:
            return f"lacks the tensor {name}"
        if tuple(tensors[name].shape) != shape:
            return f"contains {name} of shape {tuple(tensors[name].shape)}, should be {shape}"
    return next((f"contains an unknown tensor {name}" for name in tensors if name not in layout), None)


def fill(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Make `tensors`, whose layout has been checked, the state of a network built on the meta device, and freeze it."""
    network.load_state_dict(tensors, strict=True, assign=True)
    network.requires_grad_(False).eval()
