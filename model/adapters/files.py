"""Files of adapters, with the hash of their base and facts about their training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from features.encoders.networks.released import fill, layout_of, read_tensors
from manifests.bounded import parse_json

from ..errors import ModelError
from ..mmaudio import MMAudio, base_hash
from ..mmaudio.layers import lay_out
from ..tensorfiles import read_notes, write_tensors
from .config import AdapterConfig
from .network import Adapters

NOTE = "lpse.adapters"


def save_adapters(adapters: Adapters, path: Path | str, base: str, facts: Mapping[str, Any] | None = None) -> None:
    """Write the adapters; `base`: the hash of the base they were trained on; `facts`: about their training."""
    note = {"config": asdict(adapters.config), "base": base, "facts": dict(facts or {})}
    write_tensors(Path(path), adapters.state_dict(), {NOTE: json.dumps(note, sort_keys=True)})


def adapter_notes(path: Path | str) -> dict[str, Any]:
    """The notes of a file of adapters: config, base, facts. Raises ModelError for any other file."""
    note = read_notes(Path(path)).get(NOTE)
    if note is None:
        raise ModelError(f"{path}: not a file of adapters")
    return _table(path, note)


def _table(path: Path | str, note: str) -> dict[str, Any]:
    try:
        return dict(parse_json(note))
    except (TypeError, ValueError) as error:
        raise ModelError(f"{path}: its notes cannot be read: {error}") from error


def load_adapters(path: Path | str, network: MMAudio) -> Adapters:
    """The adapters in a file, frozen, on the CPU. Raises ModelError if they belong to another base."""
    path = Path(path)
    notes = adapter_notes(path)
    own = base_hash(network)
    if notes.get("base") != own:
        raise ModelError(
            f"{path}: these adapters belong to the base {notes.get('base')}, not to {own} ({network.config.name}): "
            "name the base that they were trained on"
        )
    try:
        config = AdapterConfig(**notes["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: its configuration cannot be read: {error}") from error
    with torch.device("meta"):
        adapters = Adapters(network.config, config)
    fill(adapters, read_tensors(path, "adapters", layout_of(adapters), lambda name: True))
    lay_out(adapters)
    return adapters
