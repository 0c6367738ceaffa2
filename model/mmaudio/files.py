"""Base networks: new, from released files, and in files of our own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from features.encoders.networks.released import fill, layout_of, read_tensors
from manifests.bounded import parse_json

from ..errors import ModelError
from ..tensorfiles import read_notes, write_tensors
from .config import BASES, BaseConfig
from .layers import lay_out
from .network import MMAudio

NOTE = "lpse.base"
# parts of released files that are computed here
_COMPUTED = {"t_embed.freqs", "latent_rot", "clip_rot"}


def base_config(name: str, **changed: Any) -> BaseConfig:
    """A size by name, with other values for some fields. Raises ModelError for an unknown size or field."""
    if name not in BASES:
        raise ModelError(f"base {name!r}: known sizes are {', '.join(BASES)}")
    known = {field.name for field in fields(BaseConfig)}
    if unknown := sorted(changed.keys() - known):
        raise ModelError(f"base {name}: no field {unknown[0]}; there are {', '.join(sorted(known))}")
    try:
        return replace(BASES[name], **changed)
    except ValueError as error:
        raise ModelError(f"base {error}") from error


def build_base(name: str, **changed: Any) -> MMAudio:
    """The network of a size, with new random weights; `changed`: other values for fields of `BaseConfig`."""
    return MMAudio(base_config(name, **changed))


def load_base(path: Path | str, name: str | None = None) -> MMAudio:
    """The network in a file of `save_base`, or in a released `mmaudio_<size>.pth`; frozen, on the CPU.

    `name`: the size, for a released file with another name. Raises ModelError or ModelUnavailable, in one line, if the
    file cannot be read or has another layout.
    """
    path = Path(path)
    note = read_notes(path).get(NOTE) if path.suffix == ".safetensors" else None
    config = _noted(path, note) if note is not None else _released(path, name)
    with torch.device("meta"):
        network = MMAudio(config)
    fill(network, read_tensors(path, f"base {config.name}", layout_of(network), lambda key: key not in _COMPUTED))
    lay_out(network)
    return network


def _noted(path: Path, note: str) -> BaseConfig:
    try:
        return BaseConfig(**parse_json(note)["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: its sizes cannot be read: {error}") from error


def _released(path: Path, name: str | None) -> BaseConfig:
    guessed = name or path.stem.removeprefix("mmaudio_")
    if guessed not in BASES:
        raise ModelError(f"{path}: its size is unknown: name the file mmaudio_<size>.pth, sizes are {', '.join(BASES)}")
    return BASES[guessed]


def save_base(network: MMAudio, path: Path | str, facts: Mapping[str, Any] | None = None) -> None:
    """Write the network, its sizes and `facts` about its training; the file appears when it is complete."""
    note = {"config": asdict(network.config), "facts": dict(facts or {})}
    write_tensors(Path(path), network.state_dict(), {NOTE: json.dumps(note, sort_keys=True)})


def base_hash(network: MMAudio) -> str:
    """16 hex digits over names, shapes and values, independent of the file and the number type.

    Values are taken as bfloat16: a network converted to it is still the same base.
    """
    return state_hash(network.state_dict())


def state_hash(state: Mapping[str, Tensor]) -> str:
    """16 hex digits over a state's names, shapes and values, taken as bfloat16."""
    hash = hashlib.sha256()
    for name in sorted(state):
        values = state[name].detach().to("cpu", torch.bfloat16).contiguous()
        hash.update(f"{name} {tuple(values.shape)}".encode())
        hash.update(values.flatten().view(torch.uint8).numpy().tobytes())
    return hash.hexdigest()[:16]
