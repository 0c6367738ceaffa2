"""Make the tensors of a step from its plan: features from the cache, and random numbers.

The random numbers of a clip depend on the seed, the epoch and the clip alone, not on its batch, the process or the
device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from features.cache import FeatureCache
from manifests.identity import digest

from ..adapters import AdapterConfig, AdapterInputs, CachedVideo, ConditionMask, adapter_inputs, video_features
from ..flow import sample_times
from .batching import StepPlan
from .condition_dropout import draw_mask
from .settings import Times

VALIDATION = -1
"""The epoch of the random numbers for validation, which are always the same."""


@dataclass(frozen=True)
class Batch:
    """The input of a step, B clips: `data`, `noise` (B, N, C) and times `t` (B,); `clip` (B, V, Dv), `sync` (B, S, Ds),
    `text` (B, L, Dt) as in the cache; `inputs` of the adapters, None without adapters.

    `data` are the codec's latents, drawn from their distribution and not normalised. `weight` (B,): see `StepPlan`.
    """

    plan: StepPlan
    data: Tensor
    noise: Tensor
    t: Tensor
    clip: Tensor
    sync: Tensor
    text: Tensor
    weight: Tensor
    keep: ConditionMask
    inputs: AdapterInputs | None

    def pin_memory(self) -> Batch:
        """The batch in pinned memory; DataLoader calls this."""
        return self.each(lambda values: values.pin_memory())

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return self.each(lambda values: values.to(device, non_blocking=True))

    def each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Apply `change` to every tensor."""
        changed: dict[str, Any] = {
            name: change(value) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        keep = ConditionMask(change(self.keep.visual), change(self.keep.sync), change(self.keep.text))
        inputs = None if self.inputs is None else self.inputs.each(change)
        return replace(self, **changed, keep=keep, inputs=inputs)


def noise_seed(seed: int, epoch: int, clip: int) -> int:
    """The seed of all random numbers of a clip in an epoch."""
    return int(digest("clip", seed, epoch, clip), 16)


class TrainingClips(Dataset[Batch]):
    """Batches from a cache, by plan. `version` of the base and `null`: see `draw_mask`."""

    def __init__(
        self,
        cache: FeatureCache,
        adapters: AdapterConfig | None,
        version: int,
        null: float,
        seed: int,
        times: Times | None = None,
    ) -> None:
        self._cache, self._adapters = cache, adapters
        self._version, self._null, self._seed = version, null, seed
        self._times = times or Times()
        self._starts: list[float] = cache.cuts["start"].to_pylist()

    def __getitem__(self, plan: StepPlan) -> Batch:
        held = self._cache.take(plan.clips, ("visual", "sync", "mean", "std", "text"))
        times = Times() if plan.epoch == VALIDATION else self._times
        size, shape = len(plan.clips), tuple(held["mean"].shape[1:])
        data, noise, t, uniform = torch.empty(size, *shape), torch.empty(size, *shape), torch.empty(size), []
        for row, clip in enumerate(plan.clips):
            draw = torch.Generator().manual_seed(noise_seed(self._seed, plan.epoch, clip))
            t[row] = sample_times(1, draw, times.mean, times.deviation)[0]
            uniform.append(torch.rand(3, generator=draw))
            torch.randn(shape, generator=draw, out=noise[row])
            torch.randn(shape, generator=draw, out=data[row])
        data = held["mean"].float() + held["std"].float() * data
        null = 0.0 if plan.epoch == VALIDATION else self._null
        return Batch(
            plan=plan,
            data=data,
            noise=noise,
            t=t,
            clip=held["visual"],
            sync=held["sync"],
            text=held["text"],
            weight=torch.tensor(plan.weights),
            keep=draw_mask(torch.stack(uniform), null, self._version, held["has_video"]),
            inputs=None if self._adapters is None else self._inputs(self._adapters, held),
        )

    def _inputs(self, config: AdapterConfig, held: dict[str, Tensor]) -> AdapterInputs:
        """The adapters' inputs; neighbouring clips of one cut share theirs."""
        cuts, starts = held["cut"].tolist(), held["start"].tolist()
        parts = []
        for first, last in _runs(cuts):
            offsets = [start - self._starts[cuts[first]] for start in starts[first:last]]
            video = video_features(CachedVideo(self._cache, cuts[first]), held["text"][first].float(), config.needs)
            parts.append(adapter_inputs(config, video, offsets, held["sync"].shape[1]))
        return AdapterInputs.join(parts)


def _runs(values: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the ranges [first, last) of equal neighbours."""
    borders = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    yield from pairwise(borders)


def cuts_of(cache: FeatureCache, split: str, require_video: bool) -> list[range]:
    """The clips of each cut of a split, by their numbers in the cache."""
    cuts = cache.cuts.select(["split", "has_video"]).to_pylist()
    return [
        cache.clips_of(row)
        for row, cut in enumerate(cuts)
        if cut["split"] == split and (cut["has_video"] or not require_video)
    ]


def batches(clips: TrainingClips, plans: Sampler[StepPlan], workers: int, pinned: bool) -> Iterator[Batch]:
    """The batches of the plans, in their order; `workers` processes read ahead."""
    return iter(
        DataLoader(
            clips,
            sampler=plans,
            batch_size=None,
            num_workers=workers,
            pin_memory=pinned,
            generator=torch.Generator(),  # else it draws from the global generator
            # a process that has threads, as every trainer has, must not be copied
            multiprocessing_context="spawn" if workers else None,
        )
    )
