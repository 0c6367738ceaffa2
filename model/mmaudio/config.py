"""Sizes of the base network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

HEAD = 64
"""Channels of an attention head."""

WINDOW = 8
"""Sync vectors per window of frames."""


@dataclass(frozen=True)
class BaseConfig:
    """Sizes of the network (MMAudio, https://github.com/hkchengrex/MMAudio, `networks.py`).

    `depth` blocks, the last `fused` of which work on the latents alone. Lengths are those of a clip of 8 s:
    `latent_length` latents of `latent_channels`, `clip_length` visual, `sync_length` sync and `text_length` text
    vectors. `version` 2 has SiLU after every input projection and a finer time embedding.
    """

    name: str
    version: Literal[1, 2]
    hidden: int
    heads: int
    depth: int
    fused: int
    latent_length: int
    latent_channels: int
    clip_length: int = 64
    clip_dim: int = 1024
    sync_length: int = 192
    sync_dim: int = 768
    text_length: int = 77
    text_dim: int = 1024

    def __post_init__(self) -> None:
        if self.version not in (1, 2):
            raise ValueError(f"{self.name}: version {self.version}; there are 1 and 2")
        if self.hidden != HEAD * self.heads:
            raise ValueError(f"{self.name}: hidden {self.hidden} is not {HEAD} x {self.heads} heads")
        if not 0 <= self.fused < self.depth:
            raise ValueError(f"{self.name}: {self.fused} fused of {self.depth} blocks; at least one must be joint")
        if self.sync_length % WINDOW:
            raise ValueError(f"{self.name}: sync_length {self.sync_length} is not a multiple of {WINDOW}")


def _sizes() -> dict[str, BaseConfig]:
    small, medium, large = (448, 7, 12, 8), (896, 14, 12, 8), (896, 14, 21, 14)
    return {
        "small_16k": BaseConfig("small_16k", 1, *small, latent_length=250, latent_channels=20),
        "small_44k": BaseConfig("small_44k", 1, *small, latent_length=345, latent_channels=40),
        "medium_44k": BaseConfig("medium_44k", 1, *medium, latent_length=345, latent_channels=40),
        "large_44k": BaseConfig("large_44k", 1, *large, latent_length=345, latent_channels=40),
        "large_44k_v2": BaseConfig("large_44k_v2", 2, *large, latent_length=345, latent_channels=40),
        # for offline features; their dimensions are those of the cache they are built for
        "tiny": BaseConfig("tiny", 2, 128, 2, 4, 2, latent_length=250, latent_channels=20),
        "nano": BaseConfig("nano", 2, 64, 1, 4, 2, latent_length=250, latent_channels=20),
    }


BASES: Mapping[str, BaseConfig] = MappingProxyType(_sizes())
"""The released sizes, and two for small machines."""


def swiglu_width(hidden: int, multiple: float = 1.0) -> int:
    """Inner width of a SwiGLU over `hidden` channels: 8/3 of them, rounded up to a multiple of 256."""
    return int(-(-int(2 * 4 * hidden / 3) // 256) * 256 * multiple)
