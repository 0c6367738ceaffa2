"""Which adapters: every choice that the paper leaves open, or that is worth comparing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

SyncPool = Literal["clip_mean", "time_mean", "window", "resample", "clip_attn"]
GlobalPool = Literal["mean", "attn"]
Fusion = Literal["add", "concat"]
WIDTHS = (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class AdapterConfig:
    """What the two adapters are made of; the default adds 41,060,992 parameters to large_44k_v2.

    `use_syn`: h_syn, which adds to the condition of every frame; `use_global`: h_global, which adds to the condition of
    the clip, with `use_text` out of the captions too. `width_mult` of the inner widths, 0.5, 1 or 2. `fusion`: the
    residual is what an adapter gives ("add"), or a linear map of it beside the condition ("concat").

    `sync_pool`, how the video's sync vectors become those of a clip: their "clip_mean" over clips; one "time_mean";
    a "window" of the adapter's run over the whole video; the whole video brought to a clip's length, "resample"; or
    every vector attends to those at its place in all clips, "clip_attn". `global_pool`: the "mean" of the video's
    visual and text vectors, or the clip attends to them, "attn".

    `global_into_frame`: what h_global adds reaches the frames' condition too. `standardize`: visual and sync vectors
    are brought to mean 0 and deviation 1 over the videos that are trained on; ours, for encoders whose vectors differ
    little from one video to the next beside what all have in common.
    """

    use_syn: bool = True
    use_global: bool = True
    use_text: bool = True
    width_mult: float = 1.0
    fusion: Fusion = "add"
    sync_pool: SyncPool = "clip_mean"
    global_pool: GlobalPool = "mean"
    global_into_frame: bool = True
    standardize: bool = False

    def __post_init__(self) -> None:
        if not (self.use_syn or self.use_global):
            raise ValueError("adapters: use_syn or use_global must be true, or there is nothing to train")
        if self.width_mult not in WIDTHS:
            raise ValueError(f"adapters: width_mult {self.width_mult}; there are {', '.join(map(str, WIDTHS))}")
        for name, kinds in (("fusion", Fusion), ("sync_pool", SyncPool), ("global_pool", GlobalPool)):
            if getattr(self, name) not in get_args(kinds):
                raise ValueError(f"adapters: {name} {getattr(self, name)!r}; there are {', '.join(get_args(kinds))}")

    @property
    def needs(self) -> frozenset[str]:
        """Of {"means", "whole", "clips"}: which features of a video `globals_of` reads."""
        needed = {"means"} if self.use_global and self.global_pool == "mean" else set()
        if self.use_global and self.global_pool == "attn":
            needed.add("whole")
        if self.use_syn:
            kinds = {"clip_mean": "means", "time_mean": "means", "clip_attn": "clips"}
            needed.add(kinds.get(self.sync_pool, "whole"))
        return frozenset(needed)
