"""Checkpoints: the complete state of a training, from which it resumes as if it had never stopped.

They have no random state: random numbers depend on the seed and the step alone. `step` also gives the position in the
data.
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

from curation.backends.checkpoint import check_archive
from manifests.files import leftovers, write_beside

from ..errors import ModelError
from .ema import WeightAverage

_LOG = logging.getLogger(__name__)
_NAME = re.compile(r"step-(\d{8})\.pt")
FORMAT = 1
KEPT = 2
"""Number of checkpoints to keep: the newest, and one before it."""


@dataclass
class State:
    """The state of a training after `step` steps; `losses` and `norms` are those not yet written to the log."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: WeightAverage
    trains_base: bool
    step: int = 0
    losses: tuple[float, ...] = ()
    norms: tuple[float, ...] = ()


def full_weights(model: nn.Module, frozen: bool) -> dict[str, Any]:
    """The model's weights by name, on the CPU, complete on the first process even if they are sharded.

    Without `frozen`, weights that are not trained are left out. All processes must call it.
    """
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=not frozen)
    return dict(get_model_state_dict(model, options=options))


def averaged_weights(state: State, frozen: bool) -> dict[str, Any]:
    """`full_weights` of the averages."""
    with state.average.applied():
        # on the CPU nothing is copied: the values would change again with the swap back
        return {name: values.clone() for name, values in full_weights(state.model, frozen).items()}


def save(folder: Path, state: State, main: bool) -> None:
    """Write a checkpoint and remove all but the newest KEPT. All processes must call it; `main` writes."""
    # a base that is trained has frozen parts too, measured at the start
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
    for path in checkpoints(folder)[:-KEPT]:
        path.unlink()


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(path for path in folder.glob("step-*.pt") if _NAME.fullmatch(path.name))


def load(folder: Path, state: State) -> bool:
    """Load the newest checkpoint that can be read into the state; False if there is no checkpoint.

    Every process reads it. An unreadable checkpoint is skipped with a warning. Raises ModelError for one of another
    format, and if no checkpoint can be read.
    """
    for path in leftovers(folder):
        path.unlink(missing_ok=True)
    paths = checkpoints(folder)
    for path in reversed(paths):
        content = _read(path)
        if content is not None:
            _apply(content, state)
            return True
    if paths:
        raise ModelError(f"{paths[-1]}: no checkpoint can be read; remove the folder to start again")
    return False


def _read(path: Path) -> dict[str, Any] | None:
    try:
        check_archive(path)
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        version = content["format"]
    except Exception as error:  # a damaged pickle fails in any way
        _LOG.warning("%s: cannot be read, using the one before it: %s", path, str(error).splitlines()[:1])
        return None
    if version != FORMAT:
        raise ModelError(f"{path}: format {version}; this program reads format {FORMAT}")
    return content


def _apply(content: dict[str, Any], state: State) -> None:
    options = StateDictOptions(full_state_dict=True, strict=False)
    # the averages first, through the model, which has the sharding of weights
    set_model_state_dict(state.model, content["averages"], options=options)
    state.average.take(content["updates"])
    set_model_state_dict(state.model, content["weights"], options=options)
    set_optimizer_state_dict(state.model, state.optimizer, content["optimizer"], options=options)
    state.step = content["step"]
    state.losses, state.norms = tuple(content["losses"]), tuple(content["norms"])
