"""Regions of two annotators: overlap, whole seconds and events, on windows one can check by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tests.support.made_up_annotators as made_up
from annotation.agreement.bootstrap import Bootstrap
from annotation.agreement.regions import NOT_MARKED, agreement_of_regions, compare, marks
from manifests.records import Region
from manifests.time import Segment, Timeline
from tests.support import ROOT

pytest.importorskip("pyannote.metrics", reason="the extra `labelstudio` is not installed")

a_region, a_task, an_answer = made_up.a_region, made_up.a_task, made_up.an_answer

BOOT = Bootstrap(draws=60)
Spans = Sequence[tuple[float, float]]


def timeline(*spans: tuple[float, float]) -> Timeline:
    return Timeline(Segment(start, end) for start, end in spans)


def regions(*spans: tuple[float, float], label: str = "speech") -> list[Region]:
    return [a_region(start, end, label) for start, end in spans]


def said(one: Timeline, other: Timeline, length: int = 60_000) -> dict[str, float]:
    names = ("iou", "marked", "shared", "union", "segments", "of_segments", "events", "of_events")
    return dict(zip(names, compare(one, other, length).tolist(), strict=True))


def test_overlap_segments_and_events_by_hand() -> None:
    """10 to 20 s against 15 to 25 s: 5 of 15 s, five whole seconds of ten each, and no event within 200 ms."""
    assert said(timeline((10, 20)), timeline((15, 25))) == pytest.approx(
        {
            "iou": 1 / 3,
            "marked": 1,
            "shared": 5,
            "union": 15,
            "segments": 5,
            "of_segments": 20,
            "events": 0,
            "of_events": 2,
        }
    )


def test_a_second_is_active_where_it_is_touched() -> None:
    found = said(timeline((10.5, 12.1)), timeline((12.9, 13.0)))
    assert (found["segments"], found["of_segments"]) == (1, 3 + 1)  # 10, 11, 12 against 12
    assert found["shared"] == 0
    touching = said(timeline((10, 12)), timeline((12, 13)))
    assert touching["segments"] == 0
    last = said(timeline((59.9, 60.4)), timeline((60.1, 60.4)), length=60_400)  # the last second is a short one
    assert (last["segments"], last["of_segments"]) == (1, 2 + 1)


@pytest.mark.parametrize(
    ("other", "matched"),
    [
        ((10.2, 19.8), 1),
        ((9.8, 20.2), 1),
        ((10.201, 20), 0),
        ((10, 20.201), 0),
        ((9.799, 20), 0),
        ((10, 19.799), 0),
    ],
)
def test_an_event_matches_up_to_its_collar(other: tuple[float, float], matched: int) -> None:
    assert said(timeline((10, 20)), timeline(other))["events"] == matched


def test_an_event_matches_one_other_and_as_many_match_as_can() -> None:
    found = said(timeline((10.2, 10.4), (11, 12)), timeline((10.1, 10.3), (10.38, 10.5), (11.1, 12.1)))
    assert (found["events"], found["of_events"]) == (2, 5)
    # the first is nearer to the event that alone fits the second: both match only when it gives way
    assert said(timeline((10.1, 10.2), (10.3, 10.4)), timeline((9.95, 10.05), (10.22, 10.32)))["events"] == 2


spans = st.lists(st.tuples(st.integers(0, 590), st.integers(1, 60)), max_size=4).map(
    lambda pairs: timeline(*((start / 10, min(start + length, 600) / 10) for start, length in pairs))
)


@given(spans, spans)
@settings(deadline=None)
def test_neither_of_two_people_is_the_reference(one: Timeline, other: Timeline) -> None:
    assert said(one, other) == pytest.approx(said(other, one))


@given(spans, spans)
@settings(deadline=None)
def test_segments_are_those_of_masks(one: Timeline, other: Timeline) -> None:
    """Against counting the whole seconds that hold a tenth of a second of each."""
    masks = [t.mask(0.1, 600).reshape(60, 10).any(axis=1) for t in (one, other)]
    found = said(one, other)
    assert found["segments"] == np.count_nonzero(masks[0] & masks[1])
    assert found["of_segments"] == sum(np.count_nonzero(mask) for mask in masks)
    both = np.count_nonzero(one.mask(0.1, 600) & other.mask(0.1, 600)) / 10
    assert found["shared"] == pytest.approx(both)
    assert found["union"] == pytest.approx(one.duration + other.duration - both)


@given(spans)
@settings(deadline=None)
def test_whoever_says_the_same_agrees_in_everything(one: Timeline) -> None:
    found = said(one, one)
    assert found["iou"] == found["marked"] == (1 if one else 0)
    assert found["of_segments"] == 2 * found["segments"] and found["of_events"] == 2 * found["events"]


def test_regions_are_cut_at_the_window_and_join_where_they_touch() -> None:
    window = a_task("w", start_ms=30_000, length_ms=60_000)
    given_regions = (*regions((29, 31), (31, 32.0004), (89, 95), (91, 93)), *regions((40, 41), label="music"))
    found = marks(window, given_regions)
    assert found == {"speech": timeline((0, 2), (59, 60)), "music": timeline((10, 11))}


def measured(answers: dict[str, dict[str, Spans]], labels: tuple[str, ...] = ("speech",)) -> Any:
    tasks = {key: a_task(key, start_ms=0, length_ms=60_000) for key in answers}
    given_answers = {
        key: {who: an_answer(tasks[key], who, regions=regions(*s)) for who, s in people.items()}
        for key, people in answers.items()
    }
    return agreement_of_regions(tasks, given_answers, labels, BOOT)


def test_the_mean_counts_windows_and_the_pool_counts_seconds() -> None:
    found = measured(
        {
            "a": {"Ann": [(0, 10)], "Bo": [(0, 10)]},
            "b": {"Ann": [(0, 40)], "Bo": [(30, 40)]},
            "c": {"Ann": [(5, 6)], "Bo": []},
            "d": {"Ann": [], "Bo": []},  # nobody marks it: nothing to agree on
        }
    )
    both = found["speech", None, None]
    assert both["iou_mean"].value == pytest.approx((1 + 1 / 4 + 0) / 3)
    assert both["iou"].value == pytest.approx((10 + 10) / (10 + 40 + 1))
    assert both["segment_f1"].value == pytest.approx(2 * 20 / (20 + 50 + 1))
    assert both["event_f1"].value == pytest.approx(2 * 1 / 5)
    assert {estimate.units for estimate in both.values()} == {3}
    assert found["speech", "Ann", "Bo"] == both
    low, high = both["iou"].low, both["iou"].high
    assert low is not None and high is not None and low < 20 / 51 < high


def test_three_people_are_three_pairs() -> None:
    found = measured({"a": {"Ann": [(0, 10)], "Bo": [(0, 10)], "Cy": [(0, 5)]}, "b": {"Ann": [(0, 1)], "Cy": []}})
    assert found["speech", "Ann", "Bo"]["iou"].value == 1.0
    assert found["speech", "Bo", "Cy"]["iou_mean"].value == 0.5
    assert found["speech", "Ann", "Cy"]["iou_mean"].value == 0.25
    assert found["speech", None, None]["iou_mean"].value == pytest.approx((1 + 0.5 + 0.5 + 0) / 4)
    assert found["speech", None, None]["iou"].units == 2


def test_a_label_that_nobody_marked_says_so() -> None:
    found = measured({"a": {"Ann": [(0, 10)], "Bo": [(0, 10)]}}, labels=("music", "speech"))
    assert list(found) == [("music", None, None), ("speech", None, None), ("speech", "Ann", "Bo")]
    assert {(e.value, e.note) for e in found["music", None, None].values()} == {(None, NOT_MARKED)}


def test_labels_never_overlap_with_each_other() -> None:
    task = a_task("t", start_ms=0)
    one, other = an_answer(task, "Ann", regions=regions((0, 10))), an_answer(task, "Bo", regions=regions((0, 10)))
    moved = replace(other, regions=tuple(regions((0, 10), label="singing")))
    assert agreement_of_regions({"t": task}, {"t": {"Ann": one, "Bo": other}}, (), BOOT)["speech", None, None][
        "iou"
    ].value
    for (_, _, _), estimates in agreement_of_regions({"t": task}, {"t": {"Ann": one, "Bo": moved}}, (), BOOT).items():
        assert {e.value for e in estimates.values()} == {0.0}


_IMPORTS = """
import os, sys
seen = []
def watch(event, args):
    if event == "open" and isinstance(args[0], str) and args[0] != os.devnull:
        if (args[1] and set(args[1]) & set("wax+")) or args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            seen.append(args[0])
    elif event in ("socket.connect", "socket.getaddrinfo", "socket.bind"):
        seen.append(event)
sys.addaudithook(watch)
from annotation.agreement.optional_imports import library
library()
import threading
assert not [path for path in seen if "socket" in path or path.startswith(os.environ["HOME"])], seen
assert "torch" not in sys.modules
assert "MPLCONFIGDIR" not in os.environ
assert len(threading.enumerate()) == 1
"""


def test_the_libraries_call_nobody_and_leave_the_home_folder_alone(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _IMPORTS],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named() -> None:
    code = (
        "import sys; sys.modules['pyannote.metrics.matcher'] = None\n"
        "from annotation.agreement.optional_imports import AgreementUnavailable, library\n"
        "try: library()\nexcept AgreementUnavailable as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith(
        "agreement figures need pyannote.metrics and scikit-learn: pip install 'lpse[labelstudio]'"
    )
