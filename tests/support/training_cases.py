"""A small cache that can be learned from, a small base that fits it, and trainings as processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from features.cache import (
    CacheSpec,
    CutFeatures,
    FeatureCache,
    IndexRow,
    StreamSpec,
    add_texts,
    commit,
    create,
    stage,
    write_index,
)
from model.mmaudio import build_base, save_base
from model.training import TrainingSettings, parse_settings
from tests.support import ROOT

SPEC = CacheSpec(
    audio=StreamSpec("codec", "1-abc", 1.5, 6, 12),
    visual=StreamSpec("seen", "1-abc", 1.0, 16, 8),
    sync=StreamSpec("moved", "1-abc", 3.0, 10, 24),
    text=StreamSpec("said", "1-abc", None, 4, 3),
)
TINY = {
    "hidden": 64, "heads": 1, "depth": 3, "fused": 1, "latent_length": 12, "latent_channels": 6, "clip_length": 8,
    "clip_dim": 16, "sync_length": 24, "sync_dim": 10, "text_length": 3, "text_dim": 4,
}  # fmt: skip


def cut(number: int, clips: int, has_video: bool = True, deviation: float = 0.1) -> CutFeatures:
    """The cut `c<number>`: pictures and motion at random, and latents that follow from them and hardly change."""
    draw = np.random.default_rng(number)
    shown, visual = draw.standard_normal((clips, 1, 16), np.float32), draw.standard_normal((clips, 8, 16), np.float32)
    visual = shown + 0.1 * visual
    sync = draw.standard_normal((clips, 24, 10), np.float32)
    latent = 3 + 2 * shown[:, :, :6] + 0.1 * sync[:, ::2, :6]
    clip = {"mean": latent, "std": np.full_like(latent, deviation)}
    whole = {}
    if has_video:
        clip |= {"visual": visual, "sync": sync}
        whole = {"visual_all": visual.reshape(-1, 16), "sync_all": sync.reshape(-1, 10)}
    return CutFeatures(
        cut_id=f"c{number}",
        recording_id=f"r{number}",
        start=2.5,
        end=2.5 + 8 * clips,
        has_video=has_video,
        clip_starts=2.5 + 8.0 * np.arange(clips, dtype=np.float64),
        clips=clip,
        whole=whole,
    )


def cache_at(path: Path, cuts: int = 9, spec: CacheSpec = SPEC, pictureless: tuple[int, ...] = (4,)) -> FeatureCache:
    """Cuts of one to four clips, every third of the split val, those of `pictureless` without pictures."""
    return shown(path, [cut(number, 1 + number % 4, number not in pictureless) for number in range(cuts)], spec)


def shown(path: Path, made: list[CutFeatures], spec: CacheSpec = SPEC) -> FeatureCache:
    """A finished cache of these cuts; every third is of the split val."""
    create(path, spec)
    for one in made:
        stage(path, one)
    commit(path, [one.cut_id for one in made])
    draw = np.random.default_rng(50)
    add_texts(path, {f"t{i}": (f"text {i}", draw.standard_normal((3, 4), np.float32)) for i in range(2)})
    rows = [
        IndexRow(
            one.cut_id,
            one.recording_id,
            one.start,
            one.end,
            len(one.clip_starts),
            one.has_video,
            caption="",
            caption_source="none",
            text_id=f"t{number % 2}",
            split="val" if number % 3 == 2 else "train",
        )
        for number, one in enumerate(made)
    ]
    write_index(path, rows)
    return FeatureCache(path)


def base_at(path: Path, **changed: Any) -> Path:
    """A small base in a file, whose flow is not zero: adapters have something to change."""
    facts = changed.pop("facts", None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        base = build_base("tiny", **{**TINY, **changed})
        for values in base.parameters():
            if not values.any():
                torch.nn.init.normal_(values, std=0.05)
    save_base(base, path, facts)
    return path


def settings(**changed: Any) -> TrainingSettings:
    """Short and frequent everything."""
    values: dict[str, Any] = {
        "steps": 12,
        "batch": 4,
        "clips_a_cut": 2,
        "log_every": 2,
        "checkpoint_every": 3,
        "ema": 0.9,
        "schedule": {"warmup": 2},
        "validation": {"every": 6},
        "optimizer": {"lr": 1e-3, "base_lr": 1e-3},
    }
    return parse_settings(values | changed, "test")


def curve(run: Path) -> list[dict[str, Any]]:
    """The log without what hangs on the machine."""
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in record.items() if name != "clips_per_second"} for record in records]


# A training as a process of its own. `kill`: [what, which one], the moment at which the kernel ends it: just before its
# n-th checkpoint gets its name, or just after its n-th step was told. `gradients`: a file for those of the first step.
# `memory`: how many bytes it may take from when the base is there.
PROGRAM = """
import json, os, resource, signal, sys
from pathlib import Path
import torch
from features.cache import FeatureCache
from model.errors import ModelError
from model.training import fresh, from_file, parse_settings, train

asked = json.loads(sys.argv[1])
what, left = asked.get("kill", ["", 0])

def counted(kind):
    global left
    if kind == what:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGINT if what == "interrupt" else signal.SIGKILL)

def heard(event, arguments):
    if event == "os.rename" and str(arguments[1]).endswith(".pt"):
        counted("checkpoint")

def told(step):
    print("step", step.done, flush=True)
    counted("step")
    counted("interrupt")

def keep(optimizer, *rest):
    place = Path(asked["gradients"])
    if os.environ.get("RANK", "0") == "0" and not place.exists():
        values = [value.grad for group in optimizer.param_groups for value in group["params"]]
        torch.save([torch.zeros(0) if value is None else value for value in values], place)

sys.addaudithook(heard)
if "gradients" in asked:
    from torch.optim.optimizer import register_optimizer_step_pre_hook
    register_optimizer_step_pre_hook(keep)
chosen = parse_settings(asked["settings"], "test")
cache = FeatureCache(asked["cache"])
begun = fresh("tiny", cache, chosen.seed) if asked["base"] is None else from_file(Path(asked["base"]), cache)
if "memory" in asked:
    import accelerate, matplotlib.figure, tensorboard, torch._dynamo, torch.utils.tensorboard
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + asked["memory"],) * 2)
try:
    done = train(cache, Path(asked["out"]), begun, chosen, device="cpu", on_progress=told)
except KeyboardInterrupt:
    sys.exit(130)
except ModelError as error:
    sys.exit(f"refused: {error}")
print("done", done.steps, done.new, flush=True)
"""


def environment() -> dict[str, str]:
    """Of a process that imports this repository, on one thread."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}


def asked(cache: FeatureCache, out: Path, chosen: TrainingSettings, base: Path | None, **more: Any) -> str:
    """The argument of PROGRAM."""
    place = None if base is None else str(base)
    return json.dumps({"cache": str(cache.path), "out": str(out), "settings": chosen.values(), "base": place, **more})


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run PROGRAM."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120, check=False)
