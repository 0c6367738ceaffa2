"""`make bench-hears ARGS="CORPUS --base FILE --adapters FILE ..."`: which of its inputs a base hears, and its adapters.

Adapters speak through two conditions, that of the frames (sync) and that of the clip (pooled). A base that takes all
it knows off the vectors of the pictures is deaf to both, and then no adapter can tell it anything. So the clips of a
split's cuts are made with all inputs, with each one alone, the others being those of nothing, and with adapters.
Printed is how much of the variance of the clips' mean latents the made ones explain: 1 is all of it, 0 what the mean of
all clips explains, below 0 is worse; of first clips and of later ones.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from curation.detectors.score_store import setup_of
from features.cache import FeatureCache
from features.cache.of_corpus import FOLDER
from features.extraction.extract import cache_name, cache_spec
from manifests.store import Corpus
from model.adapters import Adapters, VideoFeatures, adapter_inputs, load_adapters
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
    recipe = corpus.active_recipe()
    cache = FeatureCache(corpus.path / FOLDER / cache_name(recipe, cache_spec(recipe, setup_of(corpus, recipe))))
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
                conditions = heard(network, cache, cut, taken, name, adapters)
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


def heard(
    network: MMAudio, cache: FeatureCache, cut: int, taken: dict[str, Tensor], name: str, adapters: Adapters | None
) -> Conditions:
    """The conditions of a cut's clips, of which all but those of the name are nothing's."""
    visual, sync, text = (taken[stream].float() for stream in ("visual", "sync", "text"))
    conditions = network.conditions(visual, sync, text)
    if adapters is not None:
        whole = VideoFeatures(
            text[0],
            taken["visual_mean"][0].float(),
            taken["sync_mean"][0].float(),
            clips_sync=sync,
            **{stream: values.float() for stream, values in cache.whole(cut).items()},
        )
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
    """Of the variance of `real` (clips, channels), the share that `made` explains."""
    return float(1 - (made - real).square().sum() / (real - real.mean(0)).square().sum())


if __name__ == "__main__":
    torch.set_num_threads(1)  # several wait for each other as soon as anything else runs: ten times as long
    main()
