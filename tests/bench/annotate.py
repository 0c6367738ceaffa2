"""Sending 5,000 pre-labelled tasks to a real Label Studio, and fetching 5,000 answers, in seconds.

Its rival for sending is one request for each task, as a loop over the API makes it; for fetching, the listing of all
tasks with their annotations, page by page as the library's default has it. The rivals do a tenth, and are scaled.
Proxies are measured by proxies.py.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from annotation.labelstudio.client import Server
from annotation.labelstudio.page import Variant, guide, labelling_page
from annotation.labelstudio.payload import payload
from annotation.labelstudio.projects import find_or_create, kind_of
from annotation.rounds.pull import pull
from annotation.rounds.push import remove_doubles, send
from annotation.server import Access, serving
from annotation.tasks.windows import task_key
from manifests.records import LabelledSegment, Task
from manifests.store import Corpus

REGIONS = 6  # pre-labels of a task


def made_up(count: int) -> list[Task]:
    """Tasks of a minute each, `REGIONS` pre-labels in every one."""
    marks = tuple(LabelledSegment(start=8.0 * i + 1, end=8.0 * i + 3.5, label="speech") for i in range(REGIONS))
    return [
        Task(
            task_key=task_key(f"{i:016x}", 0, 60_000, "label", 1, True),
            recording_id=f"{i:016x}",
            start_ms=0,
            end_ms=60_000,
            span_start_ms=0,
            span_end_ms=60_000,
            purpose="label",
            round=1,
            prelabelled=True,
            has_picture=True,
            annotators=1,
            priority=0.5,
            why="made up",
            prelabels=marks,
            recipe_hash="0" * 16,
            planned_at=datetime.now(UTC),
        )
        for i in range(count)
    ]


def answered(body: dict[str, Any]) -> dict[str, Any]:
    """The task as somebody answered it."""
    regions = [{**one, "origin": "prediction"} for one in body["predictions"][0]["result"]]
    verdict = {"from_name": "verdict", "to_name": "audio", "type": "choices", "value": {"choices": ["keep"]}}
    rating = {"from_name": "av_sync", "to_name": "video_native", "type": "rating", "value": {"rating": 5}}
    return {**body, "annotations": [{"result": [*regions, verdict, rating], "lead_time": 42.0}]}


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=5000)
    count = parser.parse_args().tasks
    tenth = max(1, count // 10)
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus.create(Path(folder) / "corpus")
        with serving(corpus, on_line=print) as running:
            server = Server(Access(running.url, running.token))
            tasks = made_up(count)
            corpus.append("tasks", tasks)

            def bodies(some: list[Task]) -> dict[str, dict[str, Any]]:
                return {task.task_key: payload(task, "bench") for task in some}

            plain = server.create_project("one by one", "bench", labelling_page(Variant(True)), guide(), 1).id

            def loop() -> None:
                for body in bodies(tasks[:tenth]).values():
                    server.import_tasks(plain, [body])

            one_by_one = timed(loop)
            ours = server.create_project("batches", "bench", labelling_page(Variant(True)), guide(), 1).id

            def push() -> None:
                send(server, ours, bodies(tasks))
                remove_doubles(server, ours)

            pushing = timed(push)
            there = set(server.task_keys(ours).values())
            assert there == {task.task_key for task in tasks}, "tasks are missing"
            scaled = one_by_one * count / tenth
            print(
                f"push: {count} tasks with {REGIONS} pre-labels each, checked: {pushing:.1f} s (asked: 60 s for 5,000)"
            )
            print(f"      one request a task: {scaled:.1f} s (scaled from {tenth}), {scaled / pushing:.1f}x")

            kind = kind_of(tasks[0])
            project = find_or_create(server, corpus.identity(), "bench", [kind])[kind].id
            send(server, project, {key: answered(body) for key, body in bodies(tasks).items()})
            pulling = timed(lambda: pull(corpus, server))
            rows = corpus.table("annotations").count()
            assert rows == count, f"{rows} of {count} answers came"
            again = timed(lambda: pull(corpus, server))

            def listing() -> None:
                pager: Any = server._sdk.tasks.list(project=project, fields="all", page_size=100)
                for index, _ in enumerate(pager):
                    if index >= tenth:
                        return

            paged = timed(listing) * count / tenth
            print(f"pull: {count} answers with {REGIONS} regions each: {pulling:.1f} s (asked: 30 s for 5,000)")
            print(f"      again, nothing new: {again:.1f} s")
            print(f"      listing with annotations, page by page: {paged:.1f} s (scaled), {paged / pulling:.1f}x")
            server.close()


if __name__ == "__main__":
    main()
