"""Configuration of adapters: the choices that the paper leaves open, or that are worth comparing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

SyncPool = Literal["clip_mean", "time_mean", "window", "resample", "clip_attn"]
GlobalPool = Literal["mean", "attn"]
Fusion = Literal["add", "concat"]
WIDTHS = (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class AdapterConfig:
    """Structure of the two adapters; the default adds 41,060,992 parameters to large_44k_v2.

    `use_syn`: h_syn, which adds to the condition of every frame. `use_global`: h_global, which adds to the condition of
    the clip, with `use_text` from captions too. `width_mult` of the inner widths: 0.5, 1 or 2. `fusion`: the residual
    is the output of an adapter ("add"), or a linear map of the output and the condition ("concat").

    `sync_pool` turns the video's sync vectors into those of a clip: "clip_mean", their mean over clips; "time_mean",
    one mean vector; "window", a part of the adapter's run over the whole video; "resample", the whole video resampled
    to a clip's length; "clip_attn", every vector attends to those at its position in all clips. `global_pool`: "mean"
    of the video's visual and text vectors, or "attn", the clip attends to them.

    `global_into_frame`: h_global also adds to the frames' condition. `standardize` scales visual and sync vectors to
    mean 0 and deviation 1 over the training videos (not in the paper): for encoders whose vectors differ little from
    one video to the next.
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
            raise ValueError("adapters: use_syn or use_global must be true: else there is nothing to train")
        if self.width_mult not in WIDTHS:
            raise ValueError(f"adapters: width_mult {self.width_mult}; there are {', '.join(map(str, WIDTHS))}")
        for name, kinds in (("fusion", Fusion), ("sync_pool", SyncPool), ("global_pool", GlobalPool)):
            if getattr(self, name) not in get_args(kinds):
                raise ValueError(f"adapters: {name} {getattr(self, name)!r}; there are {', '.join(get_args(kinds))}")

    @property
    def needs(self) -> frozenset[str]:
        """The features of a video that `adapter_inputs` reads, of {"means", "whole", "clips"} (`VideoFeatures`)."""
        needed = {"means"} if self.use_global and self.global_pool == "mean" else set()
        if self.use_global and self.global_pool == "attn":
            needed.add("whole")
        if self.use_syn:
            kinds = {"clip_mean": "means", "time_mean": "means", "clip_attn": "clips"}
            needed.add(kinds.get(self.sync_pool, "whole"))
        return frozenset(needed)
