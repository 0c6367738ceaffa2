"""Two processes started by torchrun come to what one comes to: the same gradients, losses and weights."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.optim.optimizer import register_optimizer_step_pre_hook

from features.cache import FeatureCache
from model.training import InitialBase, TrainingSettings, fresh, from_file, train
from tests.support.training_cases import PROGRAM, asked, base_at, cache_at, curve, environment, settings


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> FeatureCache:
    return cache_at(tmp_path_factory.mktemp("processes") / "cache")


def on_two(folder: Path, argument: str) -> subprocess.CompletedProcess[str]:
    script = folder / "program.py"
    script.write_text(PROGRAM)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*command, str(script), argument],
        env={**environment(), "PYTHONWARNINGS": "default"},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


@contextmanager
def first_gradients(path: Path) -> Iterator[None]:
    """Those that the first step of this process goes by, into a file."""

    def keep(optimizer: torch.optim.Optimizer, *rest: object) -> None:
        if not path.exists():
            values = [value.grad for group in optimizer.param_groups for value in group["params"]]
            torch.save([torch.zeros(0) if value is None else value for value in values], path)

    held = register_optimizer_step_pre_hook(keep)
    try:
        yield
    finally:
        held.remove()


def begun(cache: FeatureCache, chosen: TrainingSettings, base: Path | None) -> InitialBase:
    return fresh("tiny", cache, chosen.seed) if base is None else from_file(base, cache)


def compared(cache: FeatureCache, folder: Path, chosen: TrainingSettings, base: Path | None) -> None:
    gradients = [folder / "one.pt", folder / "two.pt"]
    with first_gradients(gradients[0]):
        train(cache, folder / "one", begun(cache, chosen, base), chosen)
    two = on_two(folder, asked(cache, folder / "two", chosen, base, gradients=str(gradients[1])))
    assert two.returncode == 0, two.stderr
    alone, averaged = (torch.load(path) for path in gradients)
    assert len(alone) == len(averaged) > 10
    assert any(values.any() for values in alone)
    for values, again in zip(alone, averaged, strict=True):
        assert torch.allclose(values, again, rtol=1e-4, atol=1e-6 * float(values.abs().max() if len(values) else 0))
    for line, other in zip(curve(folder / "one"), curve(folder / "two"), strict=True):
        assert line.keys() == other.keys()
        assert [other[name] for name in line] == pytest.approx([line[name] for name in line], rel=1e-4)
    for path in (folder / "one").glob("*.safetensors"):
        weights, others = load_file(path), load_file(folder / "two" / path.name)
        assert weights.keys() == others.keys()
        for name, values in weights.items():
            assert torch.allclose(values, others[name], rtol=1e-3, atol=1e-4), name


def test_adapters(cache: FeatureCache, tmp_path: Path) -> None:
    # 8 clips of the split in batches of 3: in the last of each epoch a process may have none
    chosen = settings(steps=5, batch=3, log_every=1, validation={"every": 5, "clips": 5})
    base = base_at(tmp_path / "base.safetensors")
    compared(cache, tmp_path, chosen, base)


@pytest.mark.slow
def test_a_base(cache: FeatureCache, tmp_path: Path) -> None:
    chosen = settings(
        trained="base", steps=4, batch=5, log_every=1, checkpointing=True, schedule={"kind": "constant", "warmup": 2}
    )
    compared(cache, tmp_path, chosen, None)
    # and the training of two goes on from its checkpoint on one
    more = replace(chosen, steps=6)
    train(cache, tmp_path / "one", begun(cache, more, None), more)
    assert train(cache, tmp_path / "two", begun(cache, more, None), more).new == 2
    for line, other in zip(curve(tmp_path / "one"), curve(tmp_path / "two"), strict=True):
        assert [other[name] for name in line] == pytest.approx([line[name] for name in line], rel=1e-3)
