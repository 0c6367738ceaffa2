"""`make bench-adapters`: what a training step of the adapters costs, beside one of the whole base, in the same run.

A step is forward, backward, clipping and AdamW, on random features of the released sizes. The rival is the plain way:
the base is not frozen, its input projections are computed with gradients, and every latent has a condition of its own.
Ours: base frozen, its part of the conditions without gradients, modulations for what differs; in float32, and with the
base in bfloat16. The ways take turns, round after round; ratios are of the same round, and their median counts. Time is
that of the process on a CPU (one thread), of the clock on a GPU. What a matrix product gains in bfloat16 here
is printed too: no step gains more by it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from model.adapters import AdapterInputs, Adapters, VideoFeatures, adapter_inputs
from model.flow import interpolate, target
from model.mmaudio import BASES, Conditions, MMAudio, build_base
from model.mmaudio.network import nearest_rows

Step = Callable[[], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="small_44k", choices=sorted(set(BASES) - {"tiny", "nano"}))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(options.device)
    what = torch.cuda.get_device_name() if device.type == "cuda" else "CPU, one thread"
    print(f"{options.size}, batches of {options.batch}, {what}")
    torch.manual_seed(0)
    batch = Batch(options.size, options.batch, device)
    steps: dict[str, Step] = {
        "whole base, float32": whole_step(lively(options.size).to(device), batch),
        "adapters, float32": adapter_step(lively(options.size).to(device), batch),
        "adapters, base in bfloat16": adapter_step(lively(options.size).to(device, torch.bfloat16), batch),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for _ in range(options.rounds):
        for name, step in steps.items():
            times[name].append(seconds(step, device))
    rival = times["whole base, float32"]
    for (name, measured), asked in zip(times.items(), (None, 1.7, 2.5), strict=True):
        ratio = statistics.median(a / b for a, b in zip(rival, measured, strict=True))
        line = f"{name:28s} {1000 * statistics.median(measured):8.0f} ms"
        print(line if asked is None else f"{line}   {ratio:.2f} times as fast, asked {asked}")
    print(f"a matrix product in bfloat16 is {product_gain(device):.2f} times as fast as in float32")


class Batch:
    """Random clips of one video, normalised latents and their noise."""

    def __init__(self, size: str, count: int, device: torch.device) -> None:
        config = BASES[size]
        random = {
            "data": (config.latent_length, config.latent_channels),
            "noise": (config.latent_length, config.latent_channels),
            "clip": (config.clip_length, config.clip_dim),
            "sync": (config.sync_length, config.sync_dim),
            "text": (config.text_length, config.text_dim),
        }
        made = {name: torch.randn(count, *shape, device=device) for name, shape in random.items()}
        self.data, self.noise = made["data"], made["noise"]
        self.features = (made["clip"], made["sync"], made["text"])
        self.t = torch.rand(count, device=device)
        self.x = interpolate(self.noise, self.data, self.t)
        self.goal = target(self.noise, self.data)
        whole = VideoFeatures(made["text"][0].cpu(), made["clip"][0].mean(0).cpu(), made["sync"][0].cpu())
        adapters = Adapters(config)
        self.video: AdapterInputs = adapter_inputs(adapters.config, whole, [0.0] * count).to(device)


def lively(size: str) -> MMAudio:
    """The base with weights through which everything flows."""
    network = build_base(size)
    for values in network.parameters():
        if not values.any():
            nn.init.normal_(values, std=0.02)
    return network


def learning(parameters: list[nn.Parameter], loss: Callable[[], Tensor]) -> Step:
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss())
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    return step


def whole_step(network: MMAudio, batch: Batch) -> Step:
    config = network.config
    rows = nearest_rows(config.sync_length, config.latent_length, batch.x.device)

    def loss() -> Tensor:
        found = network.conditions(*batch.features)
        own = Conditions(found.clip, found.sync.index_select(1, rows), found.text, found.pooled)
        return (network.flow(batch.x, batch.t, own) - batch.goal).square().mean()

    return learning([values for values in network.parameters() if values.requires_grad], loss)


def adapter_step(network: MMAudio, batch: Batch) -> Step:
    network.requires_grad_(False).eval()
    adapters = Adapters(network.config).to(batch.x.device)

    def loss() -> Tensor:
        with torch.no_grad():
            found = network.conditions(*batch.features)
        adapted = adapters(found, batch.video, network.sync_pos_emb)
        return (network.flow(batch.x, batch.t, adapted) - batch.goal).square().mean()

    return learning(list(adapters.parameters()), loss)


def seconds(step: Step, device: torch.device) -> float:
    if device.type != "cuda":
        begun = time.process_time()
        step()
        return time.process_time() - begun
    torch.cuda.synchronize()
    begun = time.perf_counter()
    step()
    torch.cuda.synchronize()
    return time.perf_counter() - begun


def product_gain(device: torch.device) -> float:
    """How much faster a product of the size of the blocks' is in bfloat16."""
    left, right = torch.randn(1380, 1344, device=device), torch.randn(1344, 1280, device=device)
    taken = []
    for kind in (torch.float32, torch.bfloat16):
        a, b = left.to(kind), right.to(kind)

        def products(a: Tensor = a, b: Tensor = b) -> None:
            for _ in range(20):
                torch.mm(a, b)

        products()
        taken.append(seconds(products, device))
    return taken[0] / taken[1]


if __name__ == "__main__":
    main()
