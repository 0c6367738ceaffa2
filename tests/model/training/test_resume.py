"""Trainings that are killed, stopped or damaged go on to the same weights, bit for bit."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from features.cache import FeatureCache
from model.training import InitialBase, TrainingSettings, fresh, from_file, train
from model.training.checkpoint import _read, checkpoints
from model.training.run_folder import read_log
from tests.support.checkpoint_cases import hostile_checkpoints
from tests.support.limits import within
from tests.support.training_cases import PROGRAM, asked, base_at, cache_at, curve, environment, program, settings


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> FeatureCache:
    return cache_at(tmp_path_factory.mktemp("resume") / "cache")


def killed(cache: FeatureCache, out: Path, chosen: TrainingSettings, base: Path | None, kill: list[Any]) -> None:
    done = program(asked(cache, out, chosen, base, kill=kill))
    assert done.returncode == -signal.SIGKILL, done.stderr


def killed_after(cache: FeatureCache, out: Path, chosen: TrainingSettings, base: Path | None, seconds: float) -> None:
    """Killed from outside, so long after its first step of all."""
    command = [sys.executable, "-c", PROGRAM, asked(cache, out, chosen, base)]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("step")
        time.sleep(seconds)
        process.kill()
    assert process.returncode == -signal.SIGKILL


def outputs(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.glob("*.safetensors")}


def test_hostile_checkpoints_are_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, (path, words) in hostile_checkpoints(tmp_path).items():
        caplog.clear()
        with within(20):
            assert _read(path) is None, name
        (record,) = caplog.records
        assert words in record.getMessage(), (name, record.getMessage())


@pytest.mark.slow
def test_a_killed_training_has_the_curve_of_one_that_was_not(cache: FeatureCache, tmp_path: Path) -> None:
    base, run = base_at(tmp_path / "base.safetensors"), tmp_path / "killed"
    chosen = settings(steps=14, log_every=3, checkpoint_every=4)
    # while the second checkpoint waits for its name: the first counts
    killed(cache, run, chosen, base, ["checkpoint", 2])
    assert [path.name for path in checkpoints(run / "checkpoints")] == ["step-00000004.pt"]
    assert max(record["step"] for record in read_log(run)) > 4  # lines of steps that are done again
    # after a validation that no checkpoint has
    killed(cache, run, chosen, base, ["step", 3])
    assert curve(run)[-1].keys() == {"step", "validation_loss"}
    draw = random.Random(os.getpid())
    killed_after(cache, run, chosen, base, draw.uniform(0.0, 0.3))
    train(cache, run, from_file(base, cache), chosen)
    train(cache, tmp_path / "whole", from_file(base, cache), chosen)
    assert curve(run) == curve(tmp_path / "whole")
    assert [record["step"] for record in curve(run) if "loss" in record] == [3, 6, 9, 12, 14]
    assert outputs(run) == outputs(tmp_path / "whole")
    assert outputs(run).keys() == {"adapters.safetensors"}
    assert not list(run.rglob("*.tmp"))


@pytest.mark.parametrize("trained", ["base", "both"])
def test_a_killed_training_of_the_base_too(cache: FeatureCache, tmp_path: Path, trained: str) -> None:
    path = base_at(tmp_path / "base.safetensors")
    chosen = settings(trained=trained, steps=8, precision="bfloat16", checkpointing=True)

    def begun() -> InitialBase:
        return fresh("tiny", cache, chosen.seed) if trained == "base" else from_file(path, cache)

    killed(cache, tmp_path / "run", chosen, None if trained == "base" else path, ["step", 5])
    train(cache, tmp_path / "run", begun(), chosen)
    train(cache, tmp_path / "whole", begun(), chosen)
    assert curve(tmp_path / "run") == curve(tmp_path / "whole")
    assert outputs(tmp_path / "run") == outputs(tmp_path / "whole")
    assert "base.safetensors" in outputs(tmp_path / "run")


def test_ctrl_c_saves_and_the_same_command_goes_on(cache: FeatureCache, tmp_path: Path) -> None:
    base, chosen = base_at(tmp_path / "base.safetensors"), settings(checkpoint_every=100)
    train(cache, tmp_path / "whole", from_file(base, cache), chosen)
    stopped = program(asked(cache, tmp_path / "run", chosen, base, kill=["interrupt", 5]))
    assert stopped.returncode == 130, stopped.stderr
    # the step in hand is finished, and kept
    assert [path.name for path in checkpoints(tmp_path / "run" / "checkpoints")] == ["step-00000006.pt"]
    assert stopped.stdout.splitlines()[-1] == "step 6"
    done = train(cache, tmp_path / "run", from_file(base, cache), chosen)
    assert (done.steps, done.new) == (12, 6)
    assert curve(tmp_path / "run") == curve(tmp_path / "whole")
    assert outputs(tmp_path / "run") == outputs(tmp_path / "whole")


def test_a_finished_training_is_left_as_it_is(cache: FeatureCache, tmp_path: Path) -> None:
    base, chosen, run = base_at(tmp_path / "base.safetensors"), settings(steps=3), tmp_path / "run"
    first = train(cache, run, from_file(base, cache), chosen)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "run.lock"}
    again = train(cache, run, from_file(base, cache), chosen)
    assert (first.new, again.new, again.steps) == (3, 0, 3)
    assert (again.loss, again.validation) == (first.loss, first.validation)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "run.lock"} == before


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    cache: FeatureCache, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base, chosen, run = base_at(tmp_path / "base.safetensors"), settings(), tmp_path / "run"
    train(cache, run, from_file(base, cache), chosen)
    weights, lines = outputs(run), curve(run)
    older, newest = checkpoints(run / "checkpoints")
    assert (older.name, newest.name) == ("step-00000009.pt", "step-00000012.pt")  # two are kept
    newest.write_bytes(newest.read_bytes()[:-5000])
    done = train(cache, run, from_file(base, cache), chosen)
    assert done.new == 3
    assert re.search(r"step-00000012\.pt: cannot be read, using the one before it", caplog.text)
    assert (outputs(run), curve(run)) == (weights, lines)
    assert [path.name for path in checkpoints(run / "checkpoints")] == ["step-00000009.pt", "step-00000012.pt"]


def test_more_steps_are_added_to_a_constant_rate(cache: FeatureCache, tmp_path: Path) -> None:
    base, run = base_at(tmp_path / "base.safetensors"), tmp_path / "run"
    constant = {"kind": "constant", "warmup": 2}
    train(cache, run, from_file(base, cache), settings(steps=6, schedule=constant))
    train(cache, run, from_file(base, cache), settings(steps=12, schedule=constant))
    train(cache, tmp_path / "whole", from_file(base, cache), settings(steps=12, schedule=constant))
    assert (curve(run), outputs(run)) == (curve(tmp_path / "whole"), outputs(tmp_path / "whole"))
