"""Validation: the loss on held-out clips, always with the same noise at the same times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Sampler

from ..adapters import Adapters
from ..mmaudio import MMAudio
from .batching import StepPlan, shared
from .data import VALIDATION, TrainingClips, batches
from .objective import weighted

SeamValidator = Callable[[MMAudio, Adapters | None], Mapping[str, float]]
"""Measures the joins of clips generated with the averaged weights; all processes call it together."""


class ValidationLoss:
    """The mean loss over up to `limit` of `clips`, spread evenly, `batch` at a time over all processes.

    No condition is dropped.
    """

    def __init__(
        self, data: TrainingClips, clips: Sequence[int], limit: int, batch: int, rank: int, world: int
    ) -> None:
        chosen = np.unique(np.linspace(0, len(clips) - 1, min(limit, len(clips))).round().astype(int))
        picked = [clips[i] for i in chosen.tolist()]
        groups = [picked[i : i + batch] for i in range(0, len(picked), batch)]
        self._data, self._count = data, len(picked)
        self._sizes = [len(group) for group in groups]
        self._plans = [shared(group, i, VALIDATION, rank, world) for i, group in enumerate(groups)]

    @torch.no_grad()
    def __call__(self, model: nn.Module, device: torch.device, mean: Callable[[Tensor], Tensor]) -> float:
        """The loss with the current weights; `mean` is the mean over processes."""
        total = 0.0
        for size, batch in zip(self._sizes, batches(self._data, _Listed(self._plans), 0, False), strict=True):
            batch = batch.to(device)
            total += size * float(mean(weighted(model(batch, even=True), batch.weight)))
        return total / self._count


class _Listed(Sampler[StepPlan]):
    def __init__(self, plans: Sequence[StepPlan]) -> None:
        self._plans = plans

    def __len__(self) -> int:
        return len(self._plans)

    def __iter__(self) -> Iterator[StepPlan]:
        return iter(self._plans)
