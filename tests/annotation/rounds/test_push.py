"""Sending tasks over a line that fails in every way: none is lost, none is there twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from annotation.labelstudio.client import Server, Unanswered
from annotation.labelstudio.page import Variant, labelling_page
from annotation.labelstudio.projects import check_page
from annotation.rounds import push as module
from annotation.rounds.push import remove_doubles, send
from annotation.server import Access, ServerError
from tests.support.label_studio import LabelStudio
from tests.support.unreliable import Unreliable, some_faults

PAGE = labelling_page(Variant(picture=False))


@pytest.fixture
def line(label_studio: LabelStudio) -> Iterator[Unreliable]:
    line = Unreliable(label_studio.url)
    yield line
    line.close()


@pytest.fixture
def over_the_line(line: Unreliable, label_studio: LabelStudio) -> Iterator[Server]:
    server = Server(Access(line.url, label_studio.token))
    yield server
    server.close()


def bodies(count: int) -> dict[str, dict[str, object]]:
    return {f"key{i:04d}": {"data": {"task_key": f"key{i:04d}", "audio": "/nowhere.m4a"}} for i in range(count)}


def project(server: Server, title: str) -> int:
    return server.create_project(title, "for a test", PAGE, "", 1).id


@pytest.mark.slow
def test_twenty_faults_lose_and_double_nothing(
    over_the_line: Server, line: Unreliable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 5)
    number = project(over_the_line, "twenty faults")
    wanted = bodies(100)
    line.faults = some_faults(20, seed=4)
    send(over_the_line, number, wanted)
    assert not line.faults, "the test is over before all faults were met"
    assert len(line.met) == 20
    remove_doubles(over_the_line, number)
    found = Counter(over_the_line.task_keys(number).values())
    assert found == dict.fromkeys(wanted, 1)
    keys = [key for _, key in sorted(over_the_line.task_keys(number).items())]
    assert set(keys) == set(wanted)


def test_a_task_that_is_there_twice_is_removed_and_the_answered_one_stays(label_studio: LabelStudio) -> None:
    server = Server(label_studio.access)
    number = project(server, "doubles")
    body = bodies(3)
    server.import_tasks(number, [*body.values(), body["key0001"], body["key0001"]])
    twice = sorted(id for id, key in server.task_keys(number).items() if key == "key0001")
    with label_studio.client() as client:
        client.post(f"/api/tasks/{twice[1]}/annotations/", json={"result": []}).raise_for_status()
    assert remove_doubles(server, number) == 2
    left = server.task_keys(number)
    assert Counter(left.values()) == dict.fromkeys(body, 1)
    assert twice[1] in left
    assert remove_doubles(server, number) == 0
    server.close()


def test_a_line_that_stays_dead_ends_in_one_line_and_can_be_taken_up_again(
    over_the_line: Server, line: Unreliable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 4)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 1.0)
    number = project(over_the_line, "dead line")
    from tests.support.unreliable import lost_before

    line.faults = [lambda handler, body: False, *[lost_before] * 50]
    line.faults[0].__name__ = "nothing"
    with pytest.raises(ServerError, match="the same command sends the rest"):
        send(over_the_line, number, bodies(10))
    assert len(over_the_line.task_keys(number)) == 4
    line.faults = []
    present = set(over_the_line.task_keys(number).values())
    send(over_the_line, number, {key: body for key, body in bodies(10).items() if key not in present})
    assert Counter(over_the_line.task_keys(number).values()) == dict.fromkeys(bodies(10), 1)


@pytest.mark.slow
def test_what_goes_wrong_is_one_line_without_secrets(label_studio: LabelStudio) -> None:
    with (
        closing(Server(Access(label_studio.url, "0" * 40))) as stranger,
        pytest.raises(ServerError, match="refuses the token") as refused,
    ):
        stranger.whoami()
    with (
        closing(Server(Access("http://127.0.0.1:9", "0" * 40))) as nowhere,
        pytest.raises(Unanswered, match="does not answer"),
    ):
        nowhere.whoami()
    server = Server(label_studio.access)
    with pytest.raises(ServerError, match=r"project 99999: status 404") as absent:
        server.project(99999)
    number = project(server, "wrong data")
    with pytest.raises(ServerError, match="status 400") as bad:
        server.import_tasks(number, [{"data": {"task_key": "a"}}])
    for error in (refused, absent, bad):
        text = str(error.value)
        assert "\n" not in text
        assert not any(word in text.lower() for word in ("cookie", "sessionid", "csrf", label_studio.token))
    server.close()


def test_a_renamed_control_is_named(label_studio: LabelStudio, tmp_path: Path) -> None:
    server = Server(label_studio.access)
    number = project(server, "renamed")
    check_page(server.project(number), Variant(picture=False))
    server.update_project(number, label_config=PAGE.replace('name="reasons"', 'name="why"'))
    with pytest.raises(ServerError, match=r"no control 'reasons'; was it renamed"):
        check_page(server.project(number), Variant(picture=False))
    server.update_project(number, label_config=PAGE.replace('value="unsure"', 'value="perhaps"'))
    with pytest.raises(ServerError, match="'verdict' of its page lacks unsure"):
        check_page(server.project(number), Variant(picture=False))
    server.close()
