"""The one rule by which annotations count, and that votes, events, captions and pages all follow it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotation.agreement.answers import collect
from annotation.consensus import collect_votes
from annotation.rounds.review import recording_state
from app.review.player_data import player_data
from curation.catalog.catalog import Catalog
from curation.catalog.filters import Filter
from curation.decision.human_evidence import annotator_events
from curation.detectors.score_store import setup_of
from features.extraction.plan import planned_cuts
from manifests.annotations import counted
from manifests.identity import cut_id
from manifests.recipe import load_recipe
from manifests.records import Annotation, Cut, Region
from manifests.store import Corpus
from tests.support.decided_corpora import heard_corpus
from tests.support.made_up_annotators import NOON, a_task, an_answer

RECIPE = load_recipe("packaged")
ID = "ab" * 8
TASK = replace(a_task("t", start_ms=0, length_ms=60_000), recording_id=ID)
CUT = Cut(
    cut_id=cut_id(ID, 0, 60_000), recording_id=ID, start=0.0, end=60.0, decision="accept", risk=0.0,
    recipe_hash=RECIPE.hash,
)  # fmt: skip
SPEECH = Region(region_id="r", start=5.0, end=7.0, label="speech", origin="manual", description="a radio")
MUSIC = replace(SPEECH, label="music")
OWN = replace(an_answer(TASK, "ann", "reject", ["speech"], regions=[SPEECH]), caption="waves")


def later(row: Annotation, version: str, minutes: int = 1, **columns: Any) -> Annotation:
    return replace(row, version_id=version, updated_at=row.updated_at + timedelta(minutes=minutes), **columns)


# an expert marks the answer as the known one; somebody writes another answer into it
GOLD = later(OWN, "gold", edited_by_other=True, updated_by="expert", ground_truth=True)
REWRITTEN = later(
    OWN, "rewritten", edited_by_other=True, updated_by="mallory", verdict="keep", reasons=(), caption="a jazz band",
    regions=(MUSIC,),
)  # fmt: skip


class Consumers:
    """Everything that depends on annotations, over one corpus whose annotations change."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.setup = setup_of(corpus, RECIPE)

    def annotate(self, rows: Sequence[Annotation]) -> None:
        self.corpus.replace("annotations", rows)

    def caption(self) -> tuple[str, str]:
        (wanted,) = planned_cuts(self.corpus, RECIPE, self.setup)
        return wanted.caption.text, wanted.caption.source

    def events(self) -> set[tuple[str, str]]:
        return {(e.label, e.source) for e in annotator_events(self.corpus.rows(Annotation))}

    def regions(self) -> set[tuple[str, str]]:
        """Label and author of each region in the player."""
        shown = player_data(self.corpus, recording_state(self.corpus, ID), "bo", 0.0, 0)["regions"]
        return {(label, f"annotator:{who}") for label, _, _, who, _ in shown}

    def catalog(self) -> tuple[bool, int]:
        """True if the cut counts as annotated, and the number of answers to its task."""
        finder = Catalog(self.corpus)
        heard = finder.totals(Filter(people=("annotated",)))["accept"].cuts == 1
        unheard = finder.totals(Filter(people=("unreviewed",)))["accept"].cuts == 1
        assert heard != unheard
        (progress,) = finder.progress(Filter())
        return heard, progress.given

    def votes(self) -> dict[str, tuple[str, set[str]]]:
        votes = collect_votes([TASK], self.corpus.rows(Annotation))
        given = next(iter(votes.by_window.values()), {})
        return {name: (vote.judgement, set(vote.marks)) for name, vote in given.items()}

    def agreement(self) -> set[str]:
        answers = collect({TASK.task_key: TASK}, self.corpus.rows(Annotation))
        return {*answers.by_task.get(TASK.task_key, {}), *(row.annotator for row in answers.known.values())}


@pytest.fixture(scope="module")
def consumers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consumers]:
    corpus = heard_corpus(tmp_path_factory.mktemp("counted") / "corpus", RECIPE, 120.0, {ID: []})
    corpus.replace("cuts", [CUT])
    corpus.replace("tasks", [TASK])
    yield Consumers(corpus)


def test_what_is_only_marked_as_gold_counts_everywhere_with_its_regions(consumers: Consumers) -> None:
    for rows in ([OWN], [OWN, GOLD]):
        consumers.annotate(rows)
        assert consumers.caption() == ("waves", "human")
        assert consumers.events() == consumers.regions() == {("speech", "annotator:ann")}
        assert consumers.catalog() == (True, 1)
        assert consumers.votes() == {"ann": ("reject", {"speech"})}
        assert consumers.agreement() == {"ann"}
    assert counted([OWN, GOLD]).answers == (GOLD,)


def test_what_somebody_else_rewrote_counts_nowhere(consumers: Consumers) -> None:
    consumers.annotate([OWN, REWRITTEN])
    text, source = consumers.caption()
    assert "jazz" not in text and source != "human"
    assert consumers.events() == consumers.regions() == set()
    assert consumers.catalog() == (False, 0)
    assert consumers.votes() == {} and consumers.agreement() == set()
    found = counted([OWN, REWRITTEN])
    assert (found.answers, found.rewritten) == ((), (REWRITTEN,))


def test_the_latest_version_decides() -> None:
    again = later(OWN, "again", minutes=2, verdict="keep")
    skipped = later(OWN, "skipped", minutes=3, state="skipped")
    deleted = later(OWN, "deleted", minutes=4, state="deleted")
    assert counted([again, REWRITTEN, OWN]).answers == (again,)
    found = counted([OWN, again, skipped])
    assert (found.answers, found.skipped, found.rewritten) == ((), (skipped,), ())
    found = counted([deleted, OWN, again, skipped])
    assert (found.answers, found.skipped, found.rewritten) == ((), (), ())
    assert counted([GOLD]).rewritten == (GOLD,), "without a version of the annotator's own its author is unknown"
    other = replace(OWN, annotation_id="z", version_id="z", annotator="bo", updated_at=NOON - timedelta(1))
    assert counted([OWN, other]).answers == (other, OWN)


VERSION = st.fixed_dictionaries(
    {
        "edited_by_other": st.booleans(),
        "state": st.sampled_from(["submitted", "submitted", "skipped", "deleted"]),
        "ground_truth": st.booleans(),
        "verdict": st.sampled_from(["keep", "reject"]),
        "regions": st.sampled_from([(SPEECH,), (MUSIC,)]),
    }
)
HISTORIES = st.dictionaries(st.sampled_from(["ann", "bo", "cy"]), st.lists(VERSION, max_size=4), max_size=3)


@pytest.mark.slow
@given(HISTORIES, st.randoms())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_all_consumers_agree_on_who_counts_and_what_they_marked(
    consumers: Consumers, histories: dict[str, list[dict[str, Any]]], order: Any
) -> None:
    rows = [
        replace(
            an_answer(TASK, name, minutes=number),
            version_id=f"{name}-{number}",
            annotation_id=name,
            caption=f"words of {name}",
            **version,
        )
        for name, versions in histories.items()
        for number, version in enumerate(versions)
    ]
    order.shuffle(rows)
    consumers.annotate(rows)
    # the rule, said once more and otherwise
    wanted = {}
    for name, versions in histories.items():
        if not versions or versions[-1]["state"] != "submitted":
            continue
        *before, last = versions
        said = ("state", "verdict", "regions")
        own = [one for one in before if not one["edited_by_other"]] + [last] * (not last["edited_by_other"])
        if any(all(one[key] == last[key] for key in said) for one in own):
            wanted[name] = last
    marked = {(version["regions"][0].label, f"annotator:{name}") for name, version in wanted.items()}
    assert {row.annotator for row in counted(rows).answers} == wanted.keys()
    assert consumers.events() == consumers.regions() == marked
    assert consumers.catalog() == (bool(wanted), len(wanted))
    assert consumers.votes() == {
        name: (version["verdict"], {version["regions"][0].label}) for name, version in wanted.items()
    }
    gold = [name for name, version in wanted.items() if version["ground_truth"]]
    assert consumers.agreement() >= wanted.keys() - set(gold)
    assert consumers.agreement() <= wanted.keys() and bool(consumers.agreement() & set(gold)) == bool(gold)
    text, source = consumers.caption()
    assert (source == "human") == bool(wanted)
    assert not wanted or text.removeprefix("words of ") in wanted
