"""The rules over signal quality: each measure inside its bounds, on them, outside; and what the report shows of it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import get_args

import pytest

from curation.decision.quality import REASONS, judge_quality
from manifests.recipe import Bounds, MeasureName, load_recipe
from manifests.records import Measured, Recording

RECIPE = load_recipe("packaged")
HONEST = Recording(recording_id="r", uri="m:a", duration=60, sample_rate=48_000, has_video=True, status="ok")
QUALITY = {"loudness_lufs": Bounds(accept=(-50.0, -5.0), keep=(-60.0, 0.0))}


@pytest.mark.parametrize(
    ("value", "rejected", "doubted"),
    [
        (-20.0, [], []),
        (-50.0, [], []),
        (-50.1, [], ["loudness"]),
        (-60.0, [], ["loudness"]),
        (-60.1, ["loudness"], []),
        (-4.0, [], ["loudness"]),
        (1.0, ["loudness"], []),
        (None, [], []),
    ],
)
def test_outside_accept_a_person_judges_outside_keep_it_is_rejected(
    value: float | None, rejected: list[str], doubted: list[str]
) -> None:
    faults = judge_quality(Measured(loudness_lufs=value), HONEST, QUALITY)  # type: ignore[arg-type]
    assert (faults.rejected, faults.doubted) == (rejected, doubted)


@pytest.mark.parametrize(
    ("rate", "bandwidth", "reasons"),
    [
        (48_000, 3_900.0, ["narrow_band"]),
        (8_000, 3_900.0, []),
        (48_000, 16_000.0, []),
        (16_000, 3_900.0, ["narrow_band"]),
    ],
)
def test_an_honest_low_rate_is_no_narrow_band(rate: int, bandwidth: float, reasons: list[str]) -> None:
    faults = judge_quality(Measured(bandwidth_hz=bandwidth), replace(HONEST, sample_rate=rate), RECIPE.quality)
    assert faults.doubted == reasons and not faults.rejected


@pytest.mark.parametrize(
    ("audio_end", "video_end", "reasons"),
    [(60.0, 60.5, []), (60.0, 40.0, ["av_length"]), (40.0, 60.0, ["av_length"]), (60.0, None, []), (None, 60.0, [])],
)
def test_sound_and_picture_that_end_apart(audio_end: float | None, video_end: float | None, reasons: list[str]) -> None:
    recording = replace(HONEST, audio_end=audio_end, video_end=video_end)
    assert judge_quality(Measured(), recording, RECIPE.quality).doubted == reasons


def test_every_column_has_a_rule_and_a_reason() -> None:
    names = set(get_args(MeasureName))
    assert names == {field.name for field in fields(Measured)} | {"av_difference"}
    assert names == set(REASONS) == set(RECIPE.quality)
    assert len(set(REASONS.values())) == len(REASONS)
