"""Pulling and adjudicating write in one piece: regions with their answer, conflicts with the verdicts."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

import annotation.rounds.adjudicate as adjudicating
import annotation.rounds.pull as pulling
from annotation.consensus import ConsensusSettings
from annotation.labelstudio.client import Project, Server
from annotation.labelstudio.page import labelling_page
from annotation.labelstudio.projects import kind_of, mark
from annotation.rounds.push import push
from annotation.tasks.routing import Routing
from manifests.recipe import load_recipe
from manifests.records import Annotation, Event, Task
from manifests.store import Corpus, UnfinishedCommit
from manifests.validation import validate
from tests.support.decided_corpora import heard_corpus
from tests.support.made_up_votes import NOON, a_task, an_answer
from tests.support.stops import Stopped, assert_stops_are_safe, state_of, stopping

RECIPE = load_recipe("packaged")
ID = "ab" * 8
TASK = a_task(0, 60_000, "label", recording=ID)
OTHER = a_task(60_000, 120_000, "agreement", recording=ID)


class Noon(datetime):
    """A clock that stands still: the rows of two runs are the same."""

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        return datetime(2026, 5, 2, 12, tzinfo=UTC)


class Answers:
    """As much of a server as `pull` reads: one project with one answered task."""

    url = "http://labels"

    def __init__(self, corpus: Corpus, task: Task) -> None:
        kind = kind_of(task)
        self.project = Project(1, "one", mark(corpus.identity(), kind), labelling_page(kind.variant), 1)
        region = {"start": 1.25, "end": 2.5, "channel": 0, "labels": ["speech"]}
        result = [
            {"from_name": "verdict", "to_name": "audio", "type": "choices", "value": {"choices": ["keep"]}},
            {
                "id": "r",
                "from_name": "event",
                "to_name": "audio",
                "type": "labels",
                "value": region,
                "origin": "manual",
            },
        ]
        answer = {
            "id": 7, "unique_id": "u-7", "completed_by": 1, "updated_by": 1, "result": result, "lead_time": 3.0,
            "created_at": NOON.isoformat(), "updated_at": NOON.isoformat(),
        }  # fmt: skip
        data = {"task_key": task.task_key}
        self.tasks: list[dict[str, Any]] = [
            {"id": 3, "data": data, "annotations": [answer], "updated_at": NOON.isoformat()}
        ]

    def whoami(self) -> str:
        return "boss"

    def people(self) -> Mapping[int, str]:
        return {1: "ann", 2: "boss"}

    def projects(self) -> Sequence[Project]:
        return [self.project]

    def task_keys(self, id: int, among: object = None, changed_after: object = None) -> Mapping[int, str]:
        return {3: self.tasks[0]["data"]["task_key"]}

    def export(self, id: int, ids: object = None) -> list[dict[str, Any]]:
        return self.tasks


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    said = {ID: [("speech", 90.0, 95.0, 0.15)]}
    corpus = heard_corpus(tmp_path_factory.mktemp("answered") / "corpus", RECIPE, 400.0, said)
    corpus.append("tasks", [TASK, OTHER])
    corpus.identity()
    return corpus


def test_pull_stops_safely(base: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling, "datetime", Noon)
    server = cast(Server, Answers(base, TASK))
    folder = tmp_path / "c"
    assert_stops_are_safe(base.path, folder, lambda corpus: pulling.pull(corpus, server), "lpse annotate pull", least=4)
    corpus = Corpus.open(folder)
    (row,) = corpus.rows(Annotation)
    assert [(e.start, e.end) for e in corpus.rows(Event) if e.source == "annotator:ann"] == [(1.25, 2.5)]
    assert row.annotator == "ann" and (folder / "annotation" / "pulled.json").exists()


def test_adjudicate_stops_safely(base: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adjudicating, "datetime", Noon)
    corpus = Corpus.open(shutil.copytree(base.path, tmp_path / "answered"))
    corpus.append(
        "annotations",
        [an_answer(TASK, "ann", "keep"), an_answer(OTHER, "ann", "keep"), an_answer(OTHER, "bo", "reject", ["speech"])],
    )
    settings = ConsensusSettings()
    assert_stops_are_safe(
        corpus.path,
        tmp_path / "c",
        lambda one: adjudicating.adjudicate(one, settings),
        "lpse annotate adjudicate",
        least=4,
    )
    done = Corpus.open(tmp_path / "c")
    assert done.table("verdicts").count() == 1
    assert [task.purpose for task in done.rows(Task)].count("adjudicate") == 1


def test_a_mark_as_gold_is_not_called_forged(base: Corpus, tmp_path: Path) -> None:
    corpus = Corpus.open(shutil.copytree(base.path, tmp_path / "c"))
    server = Answers(corpus, TASK)
    pulling.pull(corpus, cast(Server, server))
    (answer,) = server.tasks[0]["annotations"]
    answer |= {"updated_by": 2, "ground_truth": True, "updated_at": (NOON + timedelta(minutes=1)).isoformat()}
    marked = pulling.pull(corpus, cast(Server, server))
    assert (marked.changed, marked.edited_by_other) == (1, ())
    assert len([event for event in corpus.rows(Event) if event.source == "annotator:ann"]) == 1
    answer |= {"result": answer["result"][:1], "updated_at": (NOON + timedelta(minutes=2)).isoformat()}
    rewritten = pulling.pull(corpus, cast(Server, server))
    assert rewritten.edited_by_other == (
        f"annotation of ann (task {TASK.task_key}) was changed by boss: it does not count",
    )
    assert not [event for event in corpus.rows(Event) if event.source == "annotator:ann"]


def test_push_refuses_an_unfinished_commit_before_it_asks_the_server(base: Corpus, tmp_path: Path) -> None:
    corpus = Corpus.open(shutil.copytree(base.path, tmp_path / "c"))
    with pytest.raises(Stopped), stopping(corpus.path, 2):
        pulling.pull(corpus, cast(Server, Answers(base, TASK)))
    before = state_of(corpus)
    with pytest.raises(UnfinishedCommit, match="lpse annotate pull has not finished writing its tables"):
        push(corpus, cast(Server, None), Routing(), workers=1)
    assert state_of(corpus) == before


class Silent:
    """As much of a server as `push` asks when nothing can be played: who it is, and which projects it has."""

    url = "http://labels"

    def whoami(self) -> str:
        return "ann"

    def projects(self) -> list[Project]:
        return []


def test_push_stops_safely(tmp_path: Path) -> None:
    """The plan of a round is stored whole or not at all, and the same command again sends the same round."""
    said = {ID: [("speech", 90.0, 95.0, 0.3)], "cd" * 8: [("music", 150.0, 154.0, 0.5)]}
    base = heard_corpus(tmp_path / "base", RECIPE, 400.0, said)
    routing = Routing(cuts=10, agreement=0.25, annotators=2, audit=0.5)

    def command(corpus: Corpus) -> None:
        push(corpus, cast(Server, Silent()), routing, workers=1)

    def copied(name: str) -> Corpus:
        shutil.rmtree(tmp_path / name, ignore_errors=True)
        return Corpus.open(shutil.copytree(base.path, tmp_path / name))

    def keys(corpus: Corpus) -> list[str]:
        return sorted(task.task_key for task in corpus.rows(Task))

    whole = copied("whole")
    command(whole)
    expected, at = keys(whole), 0
    assert expected and len(set(expected)) == len(expected)
    while True:
        corpus = copied("c")
        with stopping(corpus.path, at) as stop, suppress(Stopped):
            command(corpus)
        if stop.count <= at:
            break
        assert corpus.unfinished is None and keys(corpus) in ([], expected)
        command(corpus)
        assert keys(corpus) == expected and validate(corpus) == []
        at += 1
    assert at >= 2


def test_lost_or_damaged_progress_of_a_pull_costs_only_time(base: Corpus, tmp_path: Path) -> None:
    corpus = Corpus.open(shutil.copytree(base.path, tmp_path / "c"))
    server = cast(Server, Answers(corpus, TASK))
    pulling.pull(corpus, server)
    state = corpus.path / "annotation" / "pulled.json"
    good = state.read_text()
    for damage in ("", "[]", "{", good[:20], good.replace('"tasks"', '"task"'), '{"http://labels 1": 3}', "{}\x00"):
        state.write_text(damage)
        again = pulling.pull(corpus, server)
        assert (again.new, again.changed, again.tasks) == (0, 0, 1)
        assert state.read_text() == good
