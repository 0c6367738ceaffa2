"""Faults that end a training: a loss that is NaN or infinite, and too little memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from features.cache import FeatureCache
from manifests.files import write_beside

from ..errors import ModelError
from .batching import StepPlan
from .data import noise_seed
from .run_folder import BAD_BATCH
from .settings import TrainingSettings

# messages of a GPU, the CPU's allocator and oneDNN, all RuntimeErrors
_NO_MEMORY = ("out of memory", "can't allocate memory", "could not create a primitive")


def clips_in(cache: FeatureCache, plan: StepPlan, losses: Tensor, seed: int) -> list[dict[str, Any]]:
    """The clips of a plan by cut and number, their losses (as text: JSON has no NaN) and the seeds of their noise."""
    held = cache.take(plan.clips, [])
    names = cache.cuts["cut_id"]
    return [
        {
            "cut_id": names[cut].as_py(),
            "clip": clip,
            "loss": str(loss),
            "noise_seed": noise_seed(seed, plan.epoch, number),
        }
        for cut, clip, loss, number in zip(
            held["cut"].tolist(), held["clip"].tolist(), losses.tolist(), plan.clips, strict=True
        )
    ]


def bad_batch(folder: Path, plan: StepPlan, seed: int, loss: float, norm: float, clips: list[dict[str, Any]]) -> str:
    """Write the batch at which a training stops; returns the message."""
    content = {"step": plan.step, "epoch": plan.epoch, "seed": seed, "loss": str(loss), "norm": str(norm)}
    with write_beside(folder / BAD_BATCH) as file:
        file.write((json.dumps({**content, "clips": clips}, indent=1) + "\n").encode())
    return (
        f"step {plan.step}: loss {loss}, gradient norm {norm}; the batch is in {folder / BAD_BATCH}: check "
        "its clips, or start again with a lower optimizer.lr"
    )


@contextmanager
def explain_oom(settings: TrainingSettings, step: int) -> Iterator[None]:
    """Turn an out-of-memory error within the block into a ModelError that names the setting to lower."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        cause = str(error).splitlines()[0] if str(error) else "MemoryError"
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in _NO_MEMORY):
            raise
        advice = "lower batch" if settings.batch > 1 else "the smallest batch is too large"
        more = "" if settings.checkpointing else ", or set checkpointing = true, which takes more time"
        line = f"step {step}: out of memory with batch {settings.batch}: {advice}{more} ({cause})"
        raise ModelError(line) from error
