"""Push: sends the tasks of a round to the server, each exactly once, even after failures.

The plan is stored first and then fixed: the same command again sends only the missing tasks. A write is never simply
retried: if its response is lost, the server is queried for the tasks it has.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curation.runner.progress import Progress, ProgressCallback
from manifests.errors import Problem
from manifests.lock import exclusive
from manifests.recipe import Recipe
from manifests.records import Task
from manifests.schema import CorpusError
from manifests.store import Corpus

from ..labelstudio.client import Server, Unanswered
from ..labelstudio.payload import LOCAL_FILES, payload
from ..labelstudio.projects import Kind, find_or_create, kind_of
from ..server import ServerError
from ..tasks.proxies import make_proxies, proxies_folder, stray_links
from ..tasks.routing import Routing, plan_round
from ..tasks.windows import Window, window_of

BATCH = 250  # tasks per import: a rejected task affects few others
PATIENCE_SECONDS = 60.0  # time without a response after which the run stops
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 8.0


@dataclass(frozen=True)
class Delivery:
    """The result of a push. `sent` and `there` count tasks by purpose; `problems` are windows that cannot be played."""

    round: int
    sent: Mapping[str, int]
    there: Mapping[str, int]
    problems: Mapping[Window, Problem]
    projects: Mapping[str, str]  # title -> address
    repaired: int = 0


def push(
    corpus: Corpus,
    server: Server,
    routing: Routing,
    *,
    workers: int,
    round: int | None = None,
    media_url: str | None = None,
    on_progress: ProgressCallback | None = None,
) -> Delivery:
    """Plan a round, unless it is planned already, and send the tasks that the server lacks.

    `round` None: the latest, or the first. `media_url`: address of the folder of proxies, if another server serves it.
    Raises ServerError, Locked, and CorpusError if there is nothing to send, for an unknown round, and for an unfinished
    commit.
    """
    corpus.check_finished()
    server.whoami()  # before anything is written
    with exclusive(corpus.path / ".annotation.lock", "annotate"):
        recipe = corpus.active_recipe()
        tasks = _planned(corpus, recipe, routing, round, on_progress)
        return deliver(corpus, server, tasks, recipe, workers=workers, media_url=media_url, on_progress=on_progress)


def deliver(
    corpus: Corpus,
    server: Server,
    tasks: Sequence[Task],
    recipe: Recipe,
    *,
    workers: int,
    media_url: str | None = None,
    on_progress: ProgressCallback | None = None,
) -> Delivery:
    """Make the proxies of `tasks` and ensure that the server has each task exactly once."""
    with corpus.lock("annotate"):
        corpus_id = corpus.identity()
    problems = make_proxies(corpus, tasks, workers=workers, on_progress=on_progress)
    if strays := stray_links(corpus):
        raise ServerError(f"{strays[0]}: a link out of the served folder: remove it")
    playable = [task for task in tasks if window_of(task) not in problems]
    by_kind: dict[Kind, list[Task]] = defaultdict(list)
    for task in playable:
        by_kind[kind_of(task)].append(task)
    projects = find_or_create(server, corpus_id, corpus.path.name, by_kind)
    sent: Counter[str] = Counter()
    present_counts: Counter[str] = Counter()
    done, repaired = 0, 0
    for kind, of_kind in sorted(by_kind.items()):
        project = projects[kind]
        if media_url is None:
            server.serve_folder(project.id, str(proxies_folder(corpus) / "media"))
        media = LOCAL_FILES if media_url is None else media_url.rstrip("/") + "/"
        present = set(server.task_keys(project.id).values())
        missing = [task for task in of_kind if task.task_key not in present]
        present_counts.update(task.purpose for task in of_kind if task.task_key in present)

        def body(task: Task, media: str = media) -> dict[str, Any]:
            model = "annotators" if task.purpose == "adjudicate" else f"{recipe.name}-{task.recipe_hash[:8]}"
            return payload(task, model, media=media)

        before = done + len(of_kind) - len(missing)

        def report(count: int, before: int = before) -> None:
            if on_progress:
                on_progress(Progress("push", before + count, len(playable), items=len(playable)))

        send(server, project.id, {task.task_key: body(task) for task in missing}, report)
        repaired += remove_doubles(server, project.id)
        sent.update(task.purpose for task in missing)
        done += len(of_kind)
    links = {project.title: f"{server.url}/projects/{project.id}/data" for project in projects.values()}
    return Delivery(max((task.round for task in tasks), default=1), sent, present_counts, problems, links, repaired)


def send(
    server: Server, project: int, bodies: Mapping[str, Mapping[str, Any]], tell: Callable[[int], None] = lambda _: None
) -> None:
    """Import tasks that the project does not have, `bodies` by task_key, in order.

    After a lost response the project is queried for the tasks of the batch, and only the rest is sent again. Raises
    ServerError if the server has not responded for PATIENCE_SECONDS; the same call later finishes the job.
    """
    keys = list(bodies)
    for first in range(0, len(keys), BATCH):
        batch = keys[first : first + BATCH]
        pause, until = _FIRST_PAUSE, time.monotonic() + PATIENCE_SECONDS
        while batch:
            try:
                server.import_tasks(project, [bodies[key] for key in batch])
                batch = []
            except Unanswered as error:
                pause, batch = _reconciled(server, project, batch, pause, until, error)
        tell(min(first + BATCH, len(keys)))


def _reconciled(
    server: Server, project: int, batch: list[str], pause: float, until: float, cause: Unanswered
) -> tuple[float, list[str]]:
    """The next pause, and the tasks of a batch that the project still lacks."""
    while True:
        if time.monotonic() > until:
            raise ServerError(f"{cause}; tasks sent so far are stored: the same command sends the rest") from None
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
        try:
            present = set(server.task_keys(project, among=batch).values())
            return pause, [key for key in batch if key not in present]
        except Unanswered as error:
            cause = error


def remove_doubles(server: Server, project: int) -> int:
    """Delete all but one task of each key, and return their number: an abandoned request may still be carried out.

    The task with most answers is kept, of equal ones the first.
    """
    ids: dict[str, list[int]] = defaultdict(list)
    for id, key in server.task_keys(project).items():
        if key is not None:
            ids[key].append(id)
    doubled = [sorted(of_key) for of_key in ids.values() if len(of_key) > 1]
    if not doubled:
        return 0
    answers = {
        int(task["id"]): len(task.get("annotations", ()))
        for task in server.export(project, [id for of_key in doubled for id in of_key])
    }
    surplus = [id for of_key in doubled for id in sorted(of_key, key=lambda id: (-answers.get(id, 0), id))[1:]]
    server.delete_tasks([id for id in surplus if not answers.get(id, 0)])
    return len(surplus)


def _planned(
    corpus: Corpus, recipe: Recipe, routing: Routing, round: int | None, on_progress: ProgressCallback | None
) -> list[Task]:
    """The tasks of the round, stored now or before."""
    known: list[Task] = [row for row in corpus.rows(Task) if row.purpose != "adjudicate"]
    latest = max((task.round for task in known), default=0)
    round = max(latest, 1) if round is None else round
    if not 1 <= round <= latest + 1:
        raise CorpusError(f"{corpus.path}: no round {round}: the next one is {latest + 1}")
    planned = [task for task in known if task.round == round]
    if not planned:

        def report(share: float) -> None:
            if on_progress:
                on_progress(Progress("plan", share, 1.0))

        planned = plan_round(corpus, recipe, routing, round, report)
        if not planned:
            raise CorpusError(f"{corpus.path}: nothing to annotate: no cuts are left for review or audit")
        with corpus.lock("annotate push"):
            corpus.append("tasks", planned)
    order = {"gold": 0, "agreement": 1, "label": 2, "audit": 2}
    return sorted(planned, key=lambda task: (order[task.purpose], _rank(task), task.task_key))


def _rank(task: Task) -> tuple[float, str, int]:
    """Sort key: most informative first; audits are spread by their keys, windows of a span stay together."""
    priority = int(task.task_key[:8], 16) / 0xFFFFFFFF if task.purpose == "audit" else task.priority
    return -priority, f"{task.recording_id} {task.span_start_ms:012d}", task.start_ms
