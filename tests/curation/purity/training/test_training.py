"""Training: what is learned, stopped and taken up again, and refused; hard negatives come back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from curation.purity.mixing.scene import MixRules
from curation.purity.network.network import Output, PurityNetwork, Sizes
from curation.purity.sources.pool import Pool
from curation.purity.training.data import Batch, Scenes, batches
from curation.purity.training.hard_negatives import factors_of, false_alarms, weighed_again
from curation.purity.training.loop import LOG, PurityTraining, TrainingError, loss_of, run_weights
from curation.purity.training.settings import SettingsError, TrainSettings, load_settings

TINY = Sizes(body=0.25, fine=(4, 4, 8, 8, 8, 8), joined=32, fast=16)
SETTINGS = TrainSettings(
    steps=6, batch=2, frames=32, start="random", warmup=2, rounds=2, validate_every=6, checkpoint_every=2, sizes=TINY,
    validation_pure=3, validation_each=1,
    mix=MixRules(codec=0.0, pure=0.3),
)  # fmt: skip


class Stopped(Exception):
    """A run that was killed."""


def test_a_run_that_was_stopped_ends_with_the_same_weights(tmp_path: Path, pool_folder: Path) -> None:
    whole = PurityTraining(tmp_path / "whole", pool_folder, SETTINGS, None)
    whole.run(workers=0)

    def stop(step: int, steps: int, loss: float) -> None:
        if step == 5:
            raise Stopped

    with pytest.raises(Stopped):
        PurityTraining(tmp_path / "parts", pool_folder, SETTINGS, None).run(workers=0, progress=stop)
    resumed = PurityTraining(tmp_path / "parts", pool_folder, SETTINGS, None)
    assert resumed.state.step == 4
    resumed.run(workers=0)
    one, other = run_weights(tmp_path / "whole/checkpoint.pt"), run_weights(tmp_path / "parts/checkpoint.pt")
    assert all(torch.equal(one[name], other[name]) for name in one)
    rows = [json.loads(line) for line in (tmp_path / "whole" / LOG).read_text().splitlines()]
    assert any("validation" in row and 0 <= row["validation"]["mean"] <= 1 for row in rows)
    assert any(row.get("hard") for row in rows)
    assert set(run_weights(tmp_path / "whole/best.pt")) == set(one)
    with pytest.raises(TrainingError, match="other settings"):
        PurityTraining(tmp_path / "whole", pool_folder, replace(SETTINGS, seed=9), None)


def test_the_loss_counts_what_is_known_and_levels_where_there_is_something() -> None:
    zeros = torch.zeros(1, 2, 3)
    present = zeros.clone()
    present[0, 0, 0] = 1
    batch = Batch(zeros, zeros, present, torch.ones_like(zeros), torch.full_like(zeros, -10.0))
    out = Output(torch.where(present > 0, 9.0, -9.0), torch.full_like(zeros, -1.0))
    assert float(loss_of(out, batch, 1.0)) < 1e-3
    assert float(loss_of(out._replace(levels=zeros), batch, 1.0)) == pytest.approx(0.5, abs=1e-3)
    wrong = out._replace(log_odds=-out.log_odds)
    assert float(loss_of(wrong, batch, 0.0)) == pytest.approx(9.0, abs=0.01)
    unknown = batch._replace(weights=(present == 0).float())
    assert float(loss_of(wrong._replace(log_odds=torch.full_like(zeros, -9.0)), unknown, 0.0)) < 1e-3


def test_scenes_by_number_are_the_same_in_a_worker_and_here(pool_folder: Path) -> None:
    scenes = Scenes(pool_folder, "train", 3, 32, 4, SETTINGS.mix, {})
    here, there = list(batches(scenes, 2, 0)), list(batches(scenes, 2, 1))
    assert len(here) == len(there) == 2
    for one, other in zip(here, there, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    later = next(batches(replace(scenes, first=2, count=2), 2, 0))
    assert torch.equal(later.mel, here[1].mel)


def test_the_worst_false_alarms_come_back_with_more_weight(pool: Pool, pool_folder: Path) -> None:
    torch.manual_seed(0)
    found = false_alarms(PurityNetwork(TINY), pool, pool.indices("effects", "train"))
    assert set(found) == {pool.sources[i].sha256 for i in pool.indices("effects", "train")}
    assert all(0 < value < 1 for value in found.values())
    assert set(weighed_again(PurityNetwork(TINY), pool_folder, {}, 9.0)) == set(found)
    factors = factors_of({"quiet": 0.0, "usual": 0.2, "worst": 1.0}, {"worst": 3.0}, hard_factor=9.0)
    assert factors == {"quiet": 1.0, "usual": 1.0, "worst": 6.0}  # half of the factor before, half of the new one


def test_settings_name_the_wrong_key(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("steps = 40\n[mix]\npure = 0.5\n")
    assert load_settings(path).steps == 40 and load_settings(path).mix.pure == 0.5
    path.write_text("[mix]\npur = 0.5\n")
    with pytest.raises(SettingsError, match=r"settings\.toml: mix\.pur"):
        load_settings(path)


def test_no_weights_to_start_from(tmp_path: Path, pool_folder: Path) -> None:
    with pytest.raises(TrainingError, match="start from yamnet, and no weights"):
        PurityTraining(tmp_path, pool_folder, replace(SETTINGS, start="yamnet"), None)
    (tmp_path / "best.pt").write_bytes(b"no weights")
    with pytest.raises(TrainingError, match=r"best\.pt: holds no purity network"):
        run_weights(tmp_path / "best.pt")
    np.testing.assert_equal(sorted(path.name for path in tmp_path.iterdir()), ["best.pt"])
