"""Answers as the real server keeps them: every version comes back, and what is edited_by_other or gone is noticed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from annotation.labelstudio.client import Server
from annotation.labelstudio.payload import payload
from annotation.labelstudio.projects import find_or_create, kind_of
from annotation.rounds.pull import Pulled, pull
from annotation.rounds.push import send
from annotation.server import ServerError
from annotation.tasks.windows import task_key
from manifests.annotations import latest_versions
from manifests.records import Annotation, Event, Recording, Task
from manifests.store import Corpus
from manifests.validation import validate
from tests.support.label_studio import Annotator, LabelStudio

START = 90_000  # of the tasks' windows in their recording, ms


def task(index: int) -> Task:
    recording = f"{index:016x}"
    return Task(
        task_key=task_key(recording, START, START + 60_000, "label", 1, True),
        recording_id=recording,
        start_ms=START,
        end_ms=START + 60_000,
        span_start_ms=START,
        span_end_ms=START + 60_000,
        purpose="label",
        round=1,
        prelabelled=True,
        has_picture=False,
        annotators=1,
        priority=0.0,
        why="a test",
        recipe_hash="0" * 16,
        planned_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


class Work:
    """A corpus with tasks on the server, and what is done to them there."""

    def __init__(self, corpus: Corpus, server: Server, studio: LabelStudio, count: int) -> None:
        self.corpus, self.server, self.studio = corpus, server, studio
        tasks = [task(i) for i in range(count)]
        corpus.replace(
            "recordings",
            [
                Recording(recording_id=t.recording_id, uri="m:a", duration=200, has_video=False, status="empty")
                for t in tasks
            ],
        )
        corpus.append("tasks", tasks)
        kind = kind_of(tasks[0])
        self.project = find_or_create(server, corpus.identity(), "pull", [kind])[kind].id
        send(server, self.project, {t.task_key: payload(t, "test") for t in tasks})
        keys = {key: id for id, key in server.task_keys(self.project).items()}
        self.ids = [keys[t.task_key] for t in tasks]

    def answer(self, person: Annotator | None, number: int, result: list[dict[str, Any]], **more: object) -> int:
        with self.studio.client(person.token if person else None) as client:
            body = {"result": result, **more}
            made = client.post(f"/api/tasks/{self.ids[number]}/annotations/", json=body).raise_for_status().json()
        return int(made["id"])

    def change(self, person: Annotator | None, annotation: int, **body: object) -> None:
        with self.studio.client(person.token if person else None) as client:
            client.patch(f"/api/annotations/{annotation}/", json=body).raise_for_status()

    def delete(self, address: str) -> None:
        with self.studio.client() as client:
            client.delete(address).raise_for_status()

    def pull(self) -> Pulled:
        return pull(self.corpus, self.server)

    def rows(self) -> list[Annotation]:
        return list(self.corpus.rows(Annotation))


@pytest.fixture
def work(label_studio: LabelStudio, tmp_path: Path) -> Iterator[Work]:
    server = Server(label_studio.access)
    yield Work(Corpus.create(tmp_path / "corpus"), server, label_studio, 3)
    server.close()


@pytest.fixture(scope="module")
def ann(label_studio: LabelStudio) -> Annotator:
    return label_studio.annotator("ann")


def verdict(word: str) -> dict[str, Any]:
    return {"from_name": "verdict", "to_name": "audio", "type": "choices", "value": {"choices": [word]}}


def region(start: float, end: float, label: str = "speech", **more: object) -> dict[str, Any]:
    value = {"start": start, "end": end, "channel": 0, "labels": [label]}
    made = {"id": "r1", "from_name": "event", "to_name": "audio", "type": "labels", "value": value, "origin": "manual"}
    return {**made, **more}


def test_everything_an_answer_holds_comes_back_on_the_recordings_clock(work: Work, ann: Annotator) -> None:
    beside = [
        {
            "id": "r1",
            "from_name": "presence",
            "to_name": "audio",
            "type": "choices",
            "value": {"choices": ["background"]},
        },
        {"id": "r1", "from_name": "event_desc", "to_name": "audio", "type": "textarea", "value": {"text": ["a radio"]}},
    ]
    caption = {"from_name": "caption", "to_name": "audio", "type": "textarea", "value": {"text": ["rain", "a door"]}}
    work.answer(ann, 0, [region(1.25, 2.5), *beside, verdict("keep"), caption], lead_time=12.5)
    pulled = work.pull()
    assert (pulled.new, pulled.changed, pulled.deleted, pulled.edited_by_other, pulled.problems) == (1, 0, 0, (), ())
    (row,) = work.rows()
    assert (row.annotator, row.verdict, row.caption, row.lead_time) == (ann.email, "keep", "rain\na door", 12.5)
    (one,) = row.regions
    assert (one.start, one.end, one.label, one.origin) == (91.25, 92.5, "speech", "manual")
    assert (one.presence, one.description) == ("background", "a radio")
    assert validate(work.corpus) == []


def test_every_version_is_kept_and_the_latest_counts(work: Work, ann: Annotator) -> None:
    number = work.answer(ann, 0, [verdict("keep")])
    assert work.pull().new == 1
    assert (work.pull().new, work.pull().changed) == (0, 0)
    work.change(ann, number, result=[verdict("reject")])
    second = work.pull()
    assert (second.new, second.changed) == (0, 1)
    assert [row.verdict for row in sorted(work.rows(), key=lambda row: row.updated_at)] == ["keep", "reject"]
    (latest,) = latest_versions(work.rows()).values()
    assert latest.verdict == "reject"


def test_a_lost_note_of_how_far_it_came_brings_no_row_twice(work: Work, ann: Annotator) -> None:
    for number in range(3):
        work.answer(ann, number, [verdict("keep")])
    assert work.pull().new == 3
    before = work.rows()
    (work.corpus.path / "annotation" / "pulled.json").unlink()
    again = work.pull()
    assert (again.new, again.changed, again.deleted, again.tasks) == (0, 0, 0, 3)
    assert work.rows() == before


def test_only_what_changed_is_fetched(work: Work, ann: Annotator, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import timedelta

    from annotation.rounds import pull as module

    work.answer(ann, 0, [verdict("keep")])
    work.pull()
    monkeypatch.setattr(module, "OVERLAP", timedelta(0))
    work.answer(ann, 2, [verdict("keep")])
    second = work.pull()
    assert (second.new, second.tasks) == (1, 1)


def test_a_deleted_answer_and_a_deleted_task_are_noticed_and_kept(work: Work, ann: Annotator) -> None:
    first = work.answer(ann, 0, [region(1, 2), verdict("keep")])
    work.answer(ann, 1, [verdict("keep")])
    work.pull()
    assert len(list(work.corpus.rows(Event))) == 1
    work.delete(f"/api/annotations/{first}/")
    assert work.pull().deleted == 1
    assert list(work.corpus.rows(Event)) == []
    work.delete(f"/api/tasks/{work.ids[1]}/")
    assert work.pull().deleted == 1
    assert work.pull().deleted == 0
    assert sorted(row.state for row in work.rows()) == ["deleted", "deleted", "submitted", "submitted"]


def test_an_answer_written_by_somebody_else_is_forged(work: Work, ann: Annotator) -> None:
    number = work.answer(ann, 0, [region(1, 2), verdict("keep")])
    work.change(None, number, result=[verdict("reject")])
    pulled = work.pull()
    (line,) = pulled.edited_by_other
    assert ann.email in line and work.studio.email in line
    (row,) = work.rows()
    assert row.edited_by_other and row.updated_by == work.studio.email
    assert list(work.corpus.rows(Event)) == []


def test_a_skipped_task_says_so(work: Work, ann: Annotator) -> None:
    work.answer(ann, 0, [], was_cancelled=True)
    assert work.pull().skipped == 1
    assert [row.state for row in work.rows()] == ["skipped"]


def test_regions_that_are_none_are_named_and_what_is_outside_is_cut_off(work: Work, ann: Annotator) -> None:
    work.answer(ann, 0, [region(5, 4, id="a"), region(59, 70, id="b"), region(3, 3, id="c"), verdict("keep")])
    pulled = work.pull()
    assert len(pulled.problems) == 2
    (row,) = work.rows()
    assert [(one.start, one.end) for one in row.regions] == [(149.0, 150.0)]
    assert '"start": 5' in row.result  # the server's own answer keeps it


def test_a_strangers_task_in_our_project_is_left_out_and_named(work: Work, ann: Annotator) -> None:
    work.server.import_tasks(work.project, [{"data": {"task_key": "not ours", "audio": "/a"}}])
    stranger = next(id for id, key in work.server.task_keys(work.project).items() if key == "not ours")
    with work.studio.client(ann.token) as client:
        client.post(f"/api/tasks/{stranger}/annotations/", json={"result": []}).raise_for_status()
    pulled = work.pull()
    assert pulled.new == 0
    assert "is not in the corpus" in pulled.problems[0]


def test_a_renamed_control_stops_it_before_anything_is_written(work: Work, ann: Annotator) -> None:
    work.answer(ann, 0, [verdict("keep")])
    page = work.server.project(work.project).page
    work.server.update_project(work.project, label_config=page.replace('name="caption"', 'name="words"'))
    with pytest.raises(ServerError, match="no control 'caption'"):
        work.pull()
    assert work.rows() == []


def test_a_server_without_our_projects_is_the_wrong_one(label_studio: LabelStudio, tmp_path: Path) -> None:
    server = Server(label_studio.access)
    with pytest.raises(ServerError, match="no project of"):
        pull(Corpus.create(tmp_path / "other"), server)
    server.close()
