"""Settings of a training, and the rates they give."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import ModelError
from model.training.schedule import factor
from model.training.settings import (
    Schedule,
    TrainingSettings,
    first_difference,
    load_settings,
    parse_settings,
    to_toml,
)


def test_all_settings_come_back_from_toml(tmp_path: Path) -> None:
    chosen = parse_settings(
        {"trained": "both", "schedule": {"kind": "step", "drops": [0.5, 0.75]}, "adapters": {"width_mult": 2.0}}, "here"
    )
    (tmp_path / "settings.toml").write_text(to_toml(chosen))
    assert load_settings(tmp_path / "settings.toml") == chosen
    assert parse_settings(chosen.values(), "here") == chosen
    assert chosen.schedule.drops == (0.5, 0.75)
    assert load_settings(None) == TrainingSettings()


def test_what_is_asked_for_comes_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('steps = 7\nbatch = 3\ntrained = "base"\n')
    assert load_settings(path, steps=9, batch=None, trained=None) == TrainingSettings(steps=9, batch=3, trained="base")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stepz = 3", "stepz"),
        ("steps = 0", "steps"),
        ('precision = "half"', "precision"),
        ("null = 1.5", "null"),
        ("ema = 1.0", "ema"),
        ("[optimizer]\nbetas = [0.9]", "optimizer.betas"),
        ("[adapters]\nuse_sync = true", "adapters.use_sync"),
        ("[adapters]\nwidth_mult = 3.0", "width_mult 3.0"),
        ("[adapters]\nuse_syn = false\nuse_global = false", "nothing to train"),
        ("[schedule]\ndrops = [0.9, 0.5]", "drops [0.9, 0.5] must rise"),
        ("steps = ", "mine.toml"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ModelError) as caught:
        load_settings(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.toml: No such file"):
        load_settings(tmp_path / "none.toml")


def test_the_first_difference_is_named() -> None:
    usual = TrainingSettings()
    assert first_difference(usual, usual) is None
    assert first_difference(usual, replace(usual, workers=9, checkpoint_every=1)) is None
    assert first_difference(usual, replace(usual, batch=8)) == "batch 16, not 8"
    assert first_difference(usual, replace(usual, optimizer=replace(usual.optimizer, lr=0.5))) == (
        "optimizer.lr 0.0001, not 0.5"
    )
    # rates that hang on how many steps there are would have been others
    assert first_difference(usual, replace(usual, steps=9)) == "steps 5000, not 9"
    constant = replace(usual, schedule=Schedule("constant"))
    assert first_difference(constant, replace(constant, steps=9)) is None


def test_rates_of_each_kind() -> None:
    cosine = Schedule("cosine", warmup=4, floor=0.2)
    rates = [factor(cosine, step, 14) for step in (0, 1, 3, 4, 9, 13, 14, 99)]
    near = 0.2 + 0.8 * (1 + math.cos(math.pi * 0.9)) / 2
    assert rates == pytest.approx([0.25, 0.5, 1.0, 1.0, 0.6, near, 0.2, 0.2])
    step = Schedule("step", warmup=10, drops=(0.5, 0.75))
    assert [factor(step, at, 110) for at in (9, 10, 59, 60, 84, 85, 109)] == pytest.approx(
        [1.0, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01]
    )
    assert factor(Schedule("constant", warmup=0), 0, 10) == factor(Schedule("constant"), 4999, 5000) == 1.0


@given(st.sampled_from(["constant", "cosine", "step"]), st.integers(0, 20), st.integers(1, 60))
def test_rates_rise_and_then_never_do(kind: str, warmup: int, steps: int) -> None:
    schedule = parse_settings({"schedule": {"kind": kind, "warmup": warmup}}, "law").schedule
    rates = [factor(schedule, step, steps) for step in range(steps)]
    assert all(0 <= rate <= 1 for rate in rates)
    assert rates[:warmup] == sorted(rates[:warmup])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
