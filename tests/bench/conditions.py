"""`make bench-conditions ARGS="CORPUS --base FILE --adapters FILE ..."`: the conditions that a base uses.

Adapters work through two conditions, that of the frames (sync) and that of the clip (pooled). A base that relies on
visual vectors alone ignores both, and no adapter can change what it generates. So the clips of a split's cuts are
generated with all inputs, with each one alone, the others being those of no input, and with adapters. Printed is how
much of the variance of the clips' mean latents the generated ones explain: 1 is all of it, 0 what the mean of all clips
explains, below 0 is worse; of first clips and of later ones.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from features.cache import FeatureCache
from manifests.store import Corpus
from model.adapters import Adapters, CachedVideo, adapter_inputs, load_adapters, video_features
from model.mmaudio import Conditions, MMAudio, load_base
from model.sampling import no_conditions, sample


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--adapters", type=Path, nargs="+", default=[])
    parser.add_argument("--split", default="test")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--guidance", type=float, default=1.5)
    options = parser.parse_args()
    corpus = Corpus.open(options.corpus)
    cache = FeatureCache.of(corpus)
    network = load_base(options.base)
    systems: dict[str, Adapters | None] = {"pictures": None, "sync": None, "pooled": None, "all": None}
    systems |= {str(path): load_adapters(path, network) for path in options.adapters}
    cuts = [
        place for place, row in enumerate(cache.cuts.to_pylist()) if row["split"] == options.split and row["clips"] > 1
    ]
    print(f"{len(cuts)} cuts of the split {options.split}, guidance {options.guidance:g}")
    print(f"{'':24}{'first clips':>14}{'later clips':>14}")
    with torch.no_grad():
        for name, adapters in systems.items():
            made, real = [], []
            for cut in cuts:
                taken = cache.take(list(cache.clips_of(cut)))
                conditions = conditions_of(network, cache, cut, taken, name, adapters)
                noise = [
                    torch.randn(taken["mean"].shape[1:], generator=torch.Generator().manual_seed(1000 * cut + clip))
                    for clip in range(len(taken["mean"]))
                ]
                latents = sample(
                    network, conditions, torch.stack(noise), steps=options.steps, guidance=options.guidance
                )
                made.append(latents.mean(1))
                real.append(network.normalize(taken["mean"].float()).mean(1))
            first = explained(*(torch.stack([clips[0] for clips in side]) for side in (made, real)))
            later = explained(*(torch.cat([clips[1:] for clips in side]) for side in (made, real)))
            print(f"{name[-24:]:24}{first:14.3f}{later:14.3f}", flush=True)


def conditions_of(
    network: MMAudio, cache: FeatureCache, cut: int, taken: dict[str, Tensor], name: str, adapters: Adapters | None
) -> Conditions:
    """The conditions of a cut's clips; all but the named one are those of no input."""
    visual, sync, text = (taken[stream].float() for stream in ("visual", "sync", "text"))
    conditions = network.conditions(visual, sync, text)
    if adapters is not None:
        whole = video_features(CachedVideo(cache, cut), text[0], adapters.config.needs)
        first = float(taken["start"][0])
        offsets = [float(start) - first for start in taken["start"]]
        with_adapters: Conditions = adapters(
            conditions, adapter_inputs(adapters.config, whole, offsets), network.sync_pos_emb
        )
        return with_adapters
    fields = {"pictures": "clip", "sync": "sync", "pooled": "pooled"}
    if name not in fields:
        return conditions
    nothing = no_conditions(network)
    none = {field: getattr(nothing, field).expand_as(getattr(conditions, field)) for field in fields.values()}
    return replace(conditions, **(none | {fields[name]: getattr(conditions, fields[name])}))


def explained(made: Tensor, real: Tensor) -> float:
    """The share of the variance of `real` (clips, channels) that `made` explains."""
    return float(1 - (made - real).square().sum() / (real - real.mean(0)).square().sum())


if __name__ == "__main__":
    torch.set_num_threads(1)  # several wait for each other as soon as anything else runs: ten times as long
    main()
