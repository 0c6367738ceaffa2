"""Checkpoints: all that a training needs to go on as if it had never stopped.

Nothing random is in them: what is drawn hangs on the seed and the step. `step` says where the data stands.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from manifests.files import leftovers, write_beside

from ..errors import ModelError
from .ema import WeightAverage

_LOG = logging.getLogger(__name__)
_NAME = re.compile(r"step-(\d{8})\.pt")
FORMAT = 1
KEPT = 2
"""How many checkpoints stay: the newest, and one before it."""


@dataclass
class State:
    """What changes while training, after `step` steps; `losses` and `norms` are those that no line of the log has."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: WeightAverage
    trains_base: bool
    step: int = 0
    losses: tuple[float, ...] = ()
    norms: tuple[float, ...] = ()


def full_weights(model: nn.Module, frozen: bool) -> dict[str, Any]:
    """The model's weights by name, on the CPU, whole on the first process however they are shared out.

    Without `frozen`, those that training does not change are left out. All processes must call it.
    """
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=not frozen)
    return dict(get_model_state_dict(model, options=options))


def averaged_weights(state: State, frozen: bool) -> dict[str, Any]:
    """As `full_weights`, of the averages."""
    with state.average.applied():
        # on the CPU nothing is copied: the values would change back
        return {name: values.clone() for name, values in full_weights(state.model, frozen).items()}


def save(folder: Path, state: State, main: bool) -> None:
    """Write a checkpoint, and remove all but the newest KEPT. All processes must call it; `main` writes."""
    # a base that is trained has frozen parts of its own, measured when it was begun
    weights = full_weights(state.model, frozen=state.trains_base)
    averages = averaged_weights(state, frozen=False)
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    optimizer = get_optimizer_state_dict(state.model, state.optimizer, options=options)
    if not main:
        return
    content = {
        "format": FORMAT,
        "step": state.step,
        "losses": list(state.losses),
        "norms": list(state.norms),
        "weights": weights,
        "averages": averages,
        "updates": state.average.updates,
        "optimizer": optimizer,
    }
    with write_beside(folder / f"step-{state.step:08d}.pt") as file:
        torch.save(content, file)
    for path in found(folder)[:-KEPT]:
        path.unlink()


def found(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(path for path in folder.glob("step-*.pt") if _NAME.fullmatch(path.name))


def load(folder: Path, state: State) -> bool:
    """Bring the state to the newest checkpoint that can be read; False where there is none.

    Every process reads it. One that cannot be read is passed over with a warning; raises ModelError where it is of
    another format, or none of several can be read.
    """
    for path in leftovers(folder):
        path.unlink(missing_ok=True)
    there = found(folder)
    for path in reversed(there):
        content = _read(path)
        if content is not None:
            _apply(content, state)
            return True
    if there:
        raise ModelError(f"{there[-1]}: no checkpoint here can be read; remove the folder to begin anew")
    return False


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = content["format"]
    except Exception as error:  # a damaged pickle fails in any way
        _LOG.warning("%s: cannot be read, the one before it is taken: %s", path, str(error).splitlines()[:1])
        return None
    if found != FORMAT:
        raise ModelError(f"{path}: format {found}; this program knows format {FORMAT}")
    return content


def _apply(content: dict[str, Any], state: State) -> None:
    options = StateDictOptions(full_state_dict=True, strict=False)
    # the averages first, through the model: it knows how weights are shared out
    set_model_state_dict(state.model, content["averages"], options=options)
    state.average.take(content["updates"])
    set_model_state_dict(state.model, content["weights"], options=options)
    set_optimizer_state_dict(state.model, state.optimizer, content["optimizer"], options=options)
    state.step = content["step"]
    state.losses, state.norms = tuple(content["losses"]), tuple(content["norms"])
