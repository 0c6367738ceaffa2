"""Annotating from end to end: a real corpus, the real server, a real browser in which somebody listens and decides."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from annotation.consensus import ConsensusSettings
from annotation.labelstudio.client import Server
from annotation.labelstudio.projects import our_projects
from annotation.rounds.adjudicate import adjudicate
from annotation.rounds.pull import pull
from annotation.rounds.push import Delivery, push
from annotation.tasks.routing import Routing
from curation.pipeline.curate import curate, replay
from manifests.recipe import Bounds, Recipe, load_recipe
from manifests.records import Annotation, Cut, Event, Recording, Task
from manifests.store import Corpus
from manifests.validation import validate
from tests.support.browser import Page
from tests.support.label_studio import Annotator, LabelStudio

SPEECH = (30.0, 34.0)  # what a detector "heard" in the recording with a picture
SHOTS = os.environ.get("LPSE_SHOTS")  # a folder for pictures of the pages, for people who want to look


def recipe() -> Recipe:
    """The default one, but so particular about loudness that a person has to hear everything."""
    default = load_recipe("packaged")
    loudness = Bounds(accept=(-5.0, 0.0), keep=(-200.0, 0.0))
    return replace(default, quality={**default.quality, "loudness_lufs": loudness})


@pytest.fixture(scope="module")
def corpus(label_studio: LabelStudio, record: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Four recordings of surf, two of them without a picture, all for review."""
    media = tmp_path_factory.mktemp("media")
    record(media / "surf.mp4", 130, seed=1)
    record(media / "other surf.mp4", 130, seed=5)
    record(media / "more surf.wav", 66, seed=2, video=False)
    record(media / "third surf.wav", 64, seed=3, video=False)
    curate(label_studio.corpus, [media], recipe(), workers=2)
    events = list(label_studio.corpus.rows(Event))
    events += [
        Event(recording_id=row.recording_id, start=SPEECH[0], end=SPEECH[1], label="speech", source="fusion", score=0.5)
        for row in label_studio.corpus.rows(Recording)
        if row.has_video
    ]
    label_studio.corpus.replace("events", events)
    return label_studio.corpus


@pytest.fixture(scope="module")
def server(label_studio: LabelStudio) -> Iterator[Server]:
    server = Server(label_studio.access)
    yield server
    server.close()


@pytest.fixture(scope="module")
def pushed(corpus: Corpus, server: Server) -> Delivery:
    return push(corpus, server, Routing(cuts=10, agreement=0.25, annotators=2, audit=0.5), workers=2)


@pytest.fixture(scope="module")
def listener(label_studio: LabelStudio) -> Annotator:
    return label_studio.annotator("listener")


def tasks_of(corpus: Corpus) -> list[Task]:
    return list(corpus.rows(Task))


def on_server(server: Server, corpus: Corpus) -> dict[str, tuple[int, dict[str, Any]]]:
    """Every task of the corpus's projects by its key, with its project."""
    found: dict[str, tuple[int, dict[str, Any]]] = {}
    for project in our_projects(server, corpus.identity()):
        for task in server.export(project.id, list(server.task_keys(project.id))):
            assert task["data"]["task_key"] not in found, "a task is there twice"
            found[task["data"]["task_key"]] = project.id, task
    return found


def test_everything_for_review_is_on_the_server_once_however_often_it_is_pushed(
    corpus: Corpus, server: Server, pushed: Delivery
) -> None:
    planned = tasks_of(corpus)
    assert {task.purpose for task in planned} == {"label", "agreement"}
    assert not pushed.problems
    assert sum(pushed.sent.values()) == len(planned) == 4
    again = push(corpus, server, Routing(cuts=10), workers=2)
    assert (sum(again.sent.values()), sum(again.there.values())) == (0, 4)
    assert on_server(server, corpus).keys() == {task.task_key for task in planned}
    assert tasks_of(corpus) == planned


def test_only_tasks_to_label_carry_what_detectors_found(
    corpus: Corpus, server: Server, pushed: Delivery, label_studio: LabelStudio
) -> None:
    ids = on_server(server, corpus)
    for task in tasks_of(corpus):
        with label_studio.client() as client:
            there = client.get(f"/api/tasks/{ids[task.task_key][1]['id']}/").raise_for_status().json()
        predictions = there["predictions"]
        assert len(predictions) == (1 if task.purpose == "label" else 0)
        if task.prelabels:
            (region,) = predictions[0]["result"]
            assert (region["value"]["start"], region["value"]["end"]) == SPEECH
            assert predictions[0]["model_version"].startswith("packaged-")


def log_in(page: Page, url: str, person: Annotator) -> None:
    page.call("Network.clearBrowserCookies")
    page.visit(f"{url}/user/login/")
    fill = "document.querySelector('[name={}]').value = {}"
    page.run(fill.format("email", json.dumps(person.email)))
    page.run(fill.format("password", json.dumps(person.password)))
    page.run("document.querySelector('form').submit()")
    page.wait_for("!location.pathname.includes('login') && document.readyState == 'complete'")


def click(page: Page, selector: str, text: str) -> None:
    """Click the element of the selector that shows this text, with its hotkey in brackets or without."""
    shown = "e.innerText.trim().replace(/\\[.*\\]$/, '')"
    found = f"[...document.querySelectorAll({json.dumps(selector)})].find(e => {shown} == {json.dumps(text)})"
    page.wait_for(f"!!{found}")
    box = page.run(
        f"(e => {{e.scrollIntoView({{block: 'center'}}); return e.getBoundingClientRect().toJSON()}})({found})"
    )
    press(page, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def until(page: Page, expression: str, act: Callable[[], None]) -> None:
    """Do something until it shows, as people do on a page that is still settling."""
    for _ in range(8):
        act()
        for _ in range(20):
            if page.run(expression):
                return
            page.run("new Promise(done => setTimeout(done, 100))")
    raise AssertionError(f"never came true: {expression}")


def press(page: Page, x: float, y: float, to_x: float | None = None) -> None:
    """Click, or drag along the line."""
    mouse = {"button": "left", "clickCount": 1}
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    page.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, **mouse)
    if to_x is not None:
        for step in range(1, 11):
            at = x + (to_x - x) * step / 10
            page.call("Input.dispatchMouseEvent", type="mouseMoved", x=at, y=y, buttons=1, **mouse)
        x = to_x
    page.call("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, **mouse)


def shot(page: Page, name: str) -> None:
    if SHOTS:
        Path(SHOTS, f"{name}.png").write_bytes(base64.b64decode(page.call("Page.captureScreenshot")["data"]))


REGIONS = "Htx.annotationStore.selected.regionStore.regions"


def open_task(page: Page, url: str, project: int, task: int, players: int) -> None:
    page.call("Emulation.setDeviceMetricsOverride", width=1400, height=1000, deviceScaleFactor=1, mobile=False)
    page.visit(f"{url}/projects/{project}/data?task={task}")
    page.wait_for("window.Htx && !!Htx.annotationStore.selected")
    page.wait_for(f"document.querySelectorAll('audio, video').length == {players}")
    page.wait_for("[...document.querySelectorAll('audio, video')].every(e => e.readyState >= 3)")
    page.wait_for("!!document.querySelector('canvas')")


def test_an_annotator_listens_changes_a_region_rejects_and_all_of_it_comes_back(
    corpus: Corpus, server: Server, pushed: Delivery, label_studio: LabelStudio, listener: Annotator, server_page: Page
) -> None:
    page = server_page
    task = next(task for task in tasks_of(corpus) if task.prelabels)
    project, there = on_server(server, corpus)[task.task_key]
    log_in(page, label_studio.url, listener)
    open_task(page, label_studio.url, project, there["id"], players=3)
    page.wait_for(f"{REGIONS}.length == 1")
    media = page.run("[...document.querySelectorAll('audio, video')].map(e => [e.tagName, e.duration, e.error])")
    assert [name for name, *_ in media] == ["AUDIO", "VIDEO", "VIDEO"]
    assert all(error is None and abs(length - 130) < 0.1 for _, length, error in media)
    page.run("document.querySelector('audio').play()")
    page.wait_for("document.querySelector('audio').currentTime > 0.3")  # it sounds, and time goes by
    page.run("document.querySelector('audio').pause()")

    def drag() -> None:
        """The region ten seconds to the right, from wherever it is."""
        wave = page.run(
            "(c => {c.scrollIntoView({block: 'center'}); return c.getBoundingClientRect().toJSON()})"
            "([...document.querySelectorAll('canvas')].sort((a, b) => b.width - a.width)[0])"
        )
        middle = wave["x"] + wave["width"] * (page.run(f"{REGIONS}[0].start") + 2) / 130
        press(page, middle, wave["y"] + 40, middle + wave["width"] * 10 / 130)  # below the time axis

    until(page, f"Math.abs({REGIONS}[0].start - {SPEECH[0] + 10}) < 2", drag)
    assert page.run(f"{REGIONS}.length") == 1
    checked = "!!document.querySelector('.ant-{}-wrapper-checked')"
    until(page, checked.format("radio"), lambda: click(page, ".ant-radio-wrapper", "reject"))
    until(page, checked.format("checkbox"), lambda: click(page, ".ant-checkbox-wrapper", "speech"))

    def rate() -> None:
        star = page.run(
            "(e => {e.scrollIntoView({block: 'center'}); return e.getBoundingClientRect().toJSON()})"
            "(document.querySelectorAll('.ant-rate-star')[3])"
        )
        press(page, star["x"] + star["width"] / 2, star["y"] + star["height"] / 2)

    # a second click on the same star would take it away again
    until(page, "document.querySelectorAll('.ant-rate-star-full').length == 4", rate)
    shot(page, "task")
    click(page, "button", "Submit")
    with label_studio.client() as client:
        for _ in range(300):
            answers = client.get(f"/api/tasks/{there['id']}/annotations/").raise_for_status().json()
            if answers:
                break
            page.run("new Promise(done => setTimeout(done, 100))")
    (answer,) = answers
    pulled = pull(corpus, server)
    assert (pulled.new, pulled.edited_by_other, pulled.problems) == (1, (), ())
    (row,) = rows(corpus)
    assert json.loads(row.result) == sorted_keys(answer["result"])
    assert (row.annotator, row.verdict, row.reasons, row.av_sync) == (listener.email, "reject", ("speech",), 4)
    (region,) = row.regions
    moved = next(one for one in answer["result"] if one["type"] == "labels")
    assert region.origin == "prediction-changed"
    assert (region.start, region.end) == pytest.approx((moved["value"]["start"], moved["value"]["end"]), abs=0.0006)
    assert region.start > SPEECH[0] + 5
    assert row.lead_time is not None and row.lead_time > 0
    (event,) = corpus.rows(Event, pc.field("source") == f"annotator:{listener.email}")
    assert (event.start, event.end, event.label) == (region.start, region.end, "speech")
    assert pull(corpus, server).new == 0


def test_what_was_marked_is_cut_out_and_the_rest_is_accepted(corpus: Corpus, server: Server) -> None:
    """Depends on the answer of the test before: its author rejects the span for speech and says where that is."""
    result = adjudicate(corpus, ConsensusSettings())
    (verdict,) = result.verdicts
    assert (verdict.decision, verdict.method) == ("keep", "single")
    (speech,) = verdict.excised
    replay(corpus, recipe())
    recording = verdict.recording_id
    cuts: list[Cut] = [row for row in corpus.rows(Cut) if row.recording_id == recording]
    kept = [cut for cut in cuts if cut.decision == "accept"]
    assert kept
    assert all(cut.end <= speech.start or cut.start >= speech.end for cut in cuts)
    others = [row for row in corpus.rows(Cut) if row.recording_id != recording]
    assert {row.decision for row in others} == {"review"}
    assert adjudicate(corpus, ConsensusSettings()).verdicts == ()
    assert validate(corpus) == []


def test_a_clip_without_a_picture_can_be_judged_and_submitted(
    corpus: Corpus, server: Server, pushed: Delivery, label_studio: LabelStudio, listener: Annotator, server_page: Page
) -> None:
    page = server_page
    task = next(task for task in tasks_of(corpus) if not task.has_picture)
    project, there = on_server(server, corpus)[task.task_key]
    log_in(page, label_studio.url, listener)
    open_task(page, label_studio.url, project, there["id"], players=1)
    assert page.run("document.querySelectorAll('video').length") == 0
    kept = "!!document.querySelector('.ant-radio-wrapper-checked')"
    until(page, kept, lambda: click(page, ".ant-radio-wrapper", "keep"))
    shot(page, "sound only")
    click(page, "button", "Submit")
    page.wait_for("!!Htx.annotationStore.selected.pk")
    pull(corpus, server)
    answer = next(row for row in rows(corpus) if row.task_key == task.task_key)
    assert (answer.verdict, answer.regions, answer.av_sync) == ("keep", (), None)


def rows(corpus: Corpus) -> list[Annotation]:
    return list(corpus.rows(Annotation))


def sorted_keys(value: object) -> object:
    return json.loads(json.dumps(value, sort_keys=True))


def answer(label_studio: LabelStudio, task: int, person: Annotator, verdict: str, *reasons: str) -> None:
    """What the page would send for a clip without a picture."""
    result = [{"from_name": "verdict", "to_name": "audio", "type": "choices", "value": {"choices": [verdict]}}]
    if reasons:
        given = {"from_name": "reasons", "to_name": "audio", "type": "choices", "value": {"choices": list(reasons)}}
        result.append(given)
    with label_studio.client(person.token) as client:
        body = {"result": result, "lead_time": 10.0}
        client.post(f"/api/tasks/{task}/annotations/", json=body).raise_for_status()


def test_two_who_differ_are_settled_by_an_adjudicator_who_sees_what_they_said(
    corpus: Corpus, server: Server, pushed: Delivery, label_studio: LabelStudio
) -> None:
    (task,) = [task for task in tasks_of(corpus) if task.purpose == "agreement"]
    number = on_server(server, corpus)[task.task_key][1]["id"]
    heard = {row.annotator for row in rows(corpus) if row.task_key == task.task_key}
    people = [label_studio.annotator(name) for name in ("first", "second", "third")]
    answer(label_studio, number, people[0], "keep")
    answer(label_studio, number, people[1], "reject", "other")
    if heard:  # somebody kept it in an earlier test
        answer(label_studio, number, people[2], "reject", "other")
    pull(corpus, server)
    result = adjudicate(corpus, ConsensusSettings(), server, workers=2)
    (conflict,) = result.conflicts
    assert (conflict.window.recording_id, conflict.window.start_ms) == (task.recording_id, task.start_ms)
    assert not [row for row in result.verdicts if row.recording_id == task.recording_id]
    assert result.delivery is not None and sum(result.delivery.sent.values()) == 1
    (asked,) = [row for row in tasks_of(corpus) if row.purpose == "adjudicate"]
    there = on_server(server, corpus)[asked.task_key][1]
    assert "Annotator 1: keep" in there["data"]["votes"]
    assert not any(person.email in there["data"]["votes"] for person in people)
    again = adjudicate(corpus, ConsensusSettings(), server, workers=2)
    assert again.delivery is not None and sum(again.delivery.sent.values()) == 0
    adjudicator = label_studio.annotator("adjudicator")
    answer(label_studio, there["id"], adjudicator, "reject", "other")
    pull(corpus, server)
    settled = adjudicate(corpus, ConsensusSettings(), server, workers=2)
    (verdict,) = [row for row in settled.verdicts if row.recording_id == task.recording_id]
    assert (verdict.decision, verdict.method, verdict.author) == ("reject", "adjudicator", adjudicator.email)
    assert settled.conflicts == ()
    replay(corpus, recipe())
    (cut,) = [row for row in corpus.rows(Cut) if row.recording_id == task.recording_id]
    assert (cut.decision, cut.reasons) == ("reject", ("listener_other",))
    assert validate(corpus) == []
