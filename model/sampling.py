"""Sample latents from noise: Euler's method along the flow, with classifier-free guidance."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .mmaudio import Conditions, MMAudio

STEPS, GUIDANCE = 25, 4.5
"""MMAudio's."""

Flow = Callable[[Tensor, Tensor, Conditions], Tensor]


def no_conditions(network: MMAudio) -> Conditions:
    """The conditions of no clip, no sync and no text, for a batch of one: guidance leads away from them."""
    return network.conditions(*network.empty(1))


def sample(
    network: MMAudio,
    conditions: Conditions,
    noise: Tensor,
    *,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    empty: Conditions | None = None,
    flow: Flow | None = None,
    on_step: Callable[[int], None] | None = None,
) -> Tensor:
    """Noise (B, N, C) -> normalised latents (B, N, C), float32, in `steps` equal steps.

    The velocity is w v(conditions) + (1 - w) v(empty) with w = `guidance` (Ho & Salimans 2022, arXiv 2207.12598), both
    in one batch; with w of 1 and below only the first. `empty`: `no_conditions` of the network, computed if missing.
    `flow`: another way to run `network.flow`, such as `compiled_flow`. `on_step`: called after each step.
    """
    if steps < 1:
        raise ValueError(f"steps {steps}; must be at least 1")
    run, count = flow or network.flow, len(noise)
    guided = guidance > 1
    if guided:
        unconditional = (no_conditions(network) if empty is None else empty).each(
            lambda each: each.expand(count, -1, -1)
        )
        conditions = Conditions.cat([conditions, unconditional])
    x, rows = noise.float(), 2 * count if guided else count
    # as floats of the host: what the device would divide is rounded otherwise
    times = torch.tensor([k / steps for k in range(steps)], device=noise.device)
    for k in range(steps):
        velocity = run(torch.cat((x, x)) if guided else x, times[k].expand(rows), conditions)
        if guided:
            wanted, unwanted = velocity.chunk(2)
            velocity = guidance * wanted + (1 - guidance) * unwanted
        x = x + velocity / steps
        if on_step is not None:
            on_step(k + 1)
    return x


def compiled_flow(network: MMAudio) -> Flow:
    """`network.flow` compiled, and on a GPU replayed as a CUDA graph: the first call of each shape takes minutes.

    The network must be on its device and in its number type; bfloat16 is the fast one.
    """
    return torch.compile(network.flow, mode="reduce-overhead", dynamic=False)
