"""Push: the tasks of a round onto the server, each of them once, whatever happens on the way.

The plan is written down first and then stands: the same command again sends what is not there yet, and no more. A write
is never simply tried again: when its answer is lost, the server is asked which of the tasks it has.
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
from ..tasks.proxies import Window, make_proxies, proxies_folder, stray_links
from ..tasks.routing import Routing, plan_round

BATCH = 250  # tasks of one import: one that is refused takes few others with it
PATIENCE_SECONDS = 60.0  # how long a server may fail to answer before the run gives up
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 8.0


@dataclass(frozen=True)
class Delivery:
    """What a push came to. `sent` and `there` count tasks by purpose; `problems` are windows that cannot be heard."""

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
    """Plan a round, unless it is planned already, and send what of it the server lacks.

    `round` None: the latest, or the first. `media_url`: where the folder of proxies is served, when not by the server
    itself. Raises ServerError, Locked, and CorpusError where there is nothing to send, no such round, or an unfinished
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
    """Make the proxies of `tasks` and see to it that the server has each task exactly once."""
    with corpus.lock("annotate"):
        corpus_id = corpus.identity()
    problems = make_proxies(corpus, tasks, workers=workers, on_progress=on_progress)
    if strays := stray_links(corpus):
        raise ServerError(f"{strays[0]}: a link out of the folder that is served; remove it")
    playable = [task for task in tasks if (task.recording_id, task.start_ms, task.end_ms) not in problems]
    by_kind: dict[Kind, list[Task]] = defaultdict(list)
    for task in playable:
        by_kind[kind_of(task)].append(task)
    projects = find_or_create(server, corpus_id, corpus.path.name, by_kind)
    sent: Counter[str] = Counter()
    there: Counter[str] = Counter()
    done, repaired = 0, 0
    for kind, here in sorted(by_kind.items()):
        project = projects[kind]
        if media_url is None:
            server.serve_folder(project.id, str(proxies_folder(corpus) / "media"))
        media = LOCAL_FILES if media_url is None else media_url.rstrip("/") + "/"
        present = set(server.task_keys(project.id).values())
        missing = [task for task in here if task.task_key not in present]
        there.update(task.purpose for task in here if task.task_key in present)

        def body(task: Task, media: str = media) -> dict[str, Any]:
            model = "annotators" if task.purpose == "adjudicate" else f"{recipe.name}-{task.recipe_hash[:8]}"
            return payload(task, model, media=media)

        before = done + len(here) - len(missing)

        def tell(count: int, before: int = before) -> None:
            if on_progress:
                on_progress(Progress("push", before + count, len(playable), items=len(playable)))

        send(server, project.id, {task.task_key: body(task) for task in missing}, tell)
        repaired += remove_doubles(server, project.id)
        sent.update(task.purpose for task in missing)
        done += len(here)
    links = {project.title: f"{server.url}/projects/{project.id}/data" for project in projects.values()}
    return Delivery(max((task.round for task in tasks), default=1), sent, there, problems, links, repaired)


def send(
    server: Server, project: int, bodies: Mapping[str, Mapping[str, Any]], tell: Callable[[int], None] = lambda _: None
) -> None:
    """Import tasks that the project does not have, `bodies` by task_key, in order.

    After a lost answer the project is asked what it has of the batch, and only the rest is sent again. Raises
    ServerError when the server has not answered for PATIENCE_SECONDS; the same call later finishes the job.
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
    """What of a batch the project still lacks, and how long to wait the next time."""
    while True:
        if time.monotonic() > until:
            raise ServerError(f"{cause}; what was sent stays, the same command sends the rest") from None
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
        try:
            present = set(server.task_keys(project, among=batch).values())
            return pause, [key for key in batch if key not in present]
        except Unanswered as error:
            cause = error


def remove_doubles(server: Server, project: int) -> int:
    """Delete all but one task of each key, and return how many: a request that was given up may still be carried out.

    The one with most answers stays, of equal ones the first.
    """
    ids: dict[str, list[int]] = defaultdict(list)
    for id, key in server.task_keys(project).items():
        if key is not None:
            ids[key].append(id)
    doubled = [sorted(here) for here in ids.values() if len(here) > 1]
    if not doubled:
        return 0
    answers = {
        int(task["id"]): len(task.get("annotations", ()))
        for task in server.export(project, [id for here in doubled for id in here])
    }
    surplus = [id for here in doubled for id in sorted(here, key=lambda id: (-answers.get(id, 0), id))[1:]]
    server.delete_tasks([id for id in surplus if not answers.get(id, 0)])
    return len(surplus)


def _planned(
    corpus: Corpus, recipe: Recipe, routing: Routing, round: int | None, on_progress: ProgressCallback | None
) -> list[Task]:
    """The tasks of the round, written down now or before."""
    known: list[Task] = [row for row in corpus.rows(Task) if row.purpose != "adjudicate"]
    latest = max((task.round for task in known), default=0)
    round = max(latest, 1) if round is None else round
    if not 1 <= round <= latest + 1:
        raise CorpusError(f"{corpus.path}: there is no round {round}; the next one is {latest + 1}")
    planned = [task for task in known if task.round == round]
    if not planned:

        def tell(share: float) -> None:
            if on_progress:
                on_progress(Progress("plan", share, 1.0))

        planned = plan_round(corpus, recipe, routing, round, tell)
        if not planned:
            raise CorpusError(f"{corpus.path}: nothing to annotate: no cut for review is left, and none to audit")
        with corpus.lock("annotate push"):
            corpus.append("tasks", planned)
    order = {"gold": 0, "agreement": 1, "label": 2, "audit": 2}
    return sorted(planned, key=lambda task: (order[task.purpose], _rank(task), task.task_key))


def _rank(task: Task) -> tuple[float, str, int]:
    """Most informative first; audits are strewn among the others by their keys, windows of a span stay together."""
    priority = int(task.task_key[:8], 16) / 0xFFFFFFFF if task.purpose == "audit" else task.priority
    return -priority, f"{task.recording_id} {task.span_start_ms:012d}", task.start_ms
