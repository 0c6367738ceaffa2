"""`make bench-sampling`: what the sound of a 60-s video costs to sample, for GPUs.

Eight clips, 25 steps, guidance 4.5, random weights and features of a released size, in bfloat16 (on CPUs float32; there
smaller sizes and fewer steps show only that the ways agree). Three ways, in turns: the plain one, clip by clip, two
passes a step, conditions in every pass, eager; ours without adapters, all clips and both halves of the guidance in one
batch, conditions once, compiled and on a GPU replayed as a CUDA graph; ours with adapters, which are computed once too.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from model.adapters import Adapters, VideoFeatures, adapter_inputs
from model.mmaudio import BASES, MMAudio, build_base
from model.sampling import compiled_flow, no_conditions, sample

CLIPS = 8  # of 8 s: the last of a 60-s video overlaps the one before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="large_44k_v2", choices=sorted(set(BASES) - {"tiny", "nano"}))
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clips", type=int, default=CLIPS)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--eager", action="store_true", help="do not compile")
    options = parser.parse_args()
    device = torch.device(options.device)
    gpu = device.type == "cuda"
    kind = torch.bfloat16 if gpu else torch.float32
    print(f"{options.size}, {options.clips} clips, {options.steps} steps, {kind}, {named(device)}")
    torch.manual_seed(0)
    with torch.no_grad():
        run(options, device, kind)


def run(options: argparse.Namespace, device: torch.device, kind: torch.dtype) -> None:
    network = build_base(options.size).requires_grad_(False).eval()
    adapters = Adapters(network.config).requires_grad_(False)
    for values in [*network.parameters(), *adapters.parameters()]:
        if not values.any():
            nn.init.normal_(values, std=0.02)
    network.to(device, kind)
    adapters.to(device, kind)
    config, count, steps = network.config, options.clips, options.steps
    clip = torch.randn(count, config.clip_length, config.clip_dim, device=device)
    sync = torch.randn(count, config.sync_length, config.sync_dim, device=device)
    text = torch.randn(count, config.text_length, config.text_dim, device=device)
    noise = torch.randn(count, config.latent_length, config.latent_channels, device=device)
    whole = VideoFeatures(text[0].cpu(), clip.mean((0, 1)).cpu(), sync.mean(0).cpu())
    video = adapter_inputs(adapters.config, whole, [8.0 * k for k in range(count)]).to(device)
    flow = network.flow if options.eager else compiled_flow(network)

    def ours(adapted: bool) -> Tensor:
        conditions = network.conditions(clip, sync, text)
        if adapted:
            conditions = adapters(conditions, video, network.sync_pos_emb)
        return sample(network, conditions, noise, steps=steps, empty=no_conditions(network), flow=flow)

    ways: dict[str, Callable[[], Tensor]] = {
        "plain": lambda: plainly(network, clip, sync, text, noise, steps),
        "ours": lambda: ours(False),
        "ours, with adapters": lambda: ours(True),
    }
    found = {name: way() for name, way in ways.items()}
    apart = ((found["plain"] - found["ours"]).norm() / found["plain"].norm()).item()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            synchronize(device)
            begun = time.perf_counter()
            way()
            synchronize(device)
            times[name].append(time.perf_counter() - begun)
    for name, taken in times.items():
        print(f"{name:20s} {statistics.median(taken):8.3f} s")
    faster = statistics.median(a / b for a, b in zip(times["plain"], times["ours"], strict=True))
    more = statistics.median(b / a - 1 for a, b in zip(times["ours"], times["ours, with adapters"], strict=True))
    print(f"ours is {faster:.2f} times as fast (asked 2, on a GPU); the results are {100 * apart:.2f} % apart")
    print(f"adapters add {100 * more:.2f} % (asked 2.4 at most, on a GPU)")


def plainly(network: MMAudio, clip: Tensor, sync: Tensor, text: Tensor, noise: Tensor, steps: int) -> Tensor:
    """As one would write it first."""
    made = []
    for k in range(len(noise)):
        x = noise[k : k + 1]
        for step in range(steps):
            t = torch.full((1,), step / steps, device=x.device)
            wanted = network(x, clip[k : k + 1], sync[k : k + 1], text[k : k + 1], t)
            x = x + (4.5 * wanted - 3.5 * network(x, *network.empty(1), t)) / steps
        made.append(x)
    return torch.cat(made)


def named(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
