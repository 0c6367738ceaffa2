"""Pull: fetches new and changed answers, and keeps every version.

Rows are only added: a changed answer is a new version, a deleted one gets a version with that state. Only tasks that
changed are fetched; the progress of the last pull is stored beside the server's data, and without it all tasks are
fetched again, with the same rows as result.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from curation.decision.human_evidence import add_annotations
from curation.runner.progress import Progress, ProgressCallback
from manifests.annotations import counted, latest_versions
from manifests.files import remove_stale, write_beside
from manifests.lock import exclusive
from manifests.records import Annotation, Task
from manifests.store import Corpus

from ..labelstudio.client import PAGE, Project, Server
from ..labelstudio.page import Variant
from ..labelstudio.parse import annotation_of, named
from ..labelstudio.projects import check_page, kind_of, our_projects
from ..labelstudio.projects import mark as mark_of
from ..server import ServerError

OVERLAP = timedelta(seconds=10)  # tasks that changed while the last pull ran are fetched again


@dataclass(frozen=True)
class Pulled:
    """The result of a pull: numbers of rows, and messages about unreadable or suspicious answers."""

    new: int
    changed: int
    deleted: int
    skipped: int
    edited_by_other: tuple[str, ...]
    problems: tuple[str, ...]
    tasks: int


def pull(corpus: Corpus, server: Server, on_progress: ProgressCallback | None = None) -> Pulled:
    """Fetch changed answers and write them to `annotations`, and their regions to `events`.

    Raises ServerError if the server has no project of this corpus or one lacks a required control; nothing is written
    then.
    """
    server.whoami()
    with exclusive(corpus.path / ".annotation.lock", "annotate"):
        with corpus.lock("annotate"):
            corpus_id = corpus.identity()
        tasks: dict[str, Task] = {row.task_key: row for row in corpus.rows(Task)}
        projects = our_projects(server, corpus_id)
        if not projects:
            raise ServerError(f"{server.url}: no project of {corpus.path}: run lpse annotate push first")
        for project in projects:
            picture = "picture" in project.description.rpartition("[lpse ")[2]
            check_page(
                project, Variant(picture, "adjudicate" in project.description.rpartition("[lpse ")[2]), server.url
            )
        earlier = list(corpus.rows(Annotation))
        latest = latest_versions(earlier)
        state_path = corpus.path / "annotation" / "pulled.json"
        state = _read_state(state_path)
        people, pulled_at = server.people(), datetime.now(UTC)
        rows: list[Annotation] = []
        problems: list[str] = []
        fetched = 0
        for index, project in enumerate(projects):
            ours = {
                key: task for key, task in tasks.items() if mark_of(corpus_id, kind_of(task)) in project.description
            }
            name = f"{server.url} {project.id}"
            exported, complete, instant = _changed(server, project, state.get(name))
            fetched += len(exported)
            records, faults = _records(exported, ours, people, pulled_at)
            problems += faults
            rows += _versions(records, latest, exported, ours, complete, pulled_at)
            state[name] = {"tasks": project.tasks, "updated_at": instant}
            if on_progress:
                on_progress(Progress("pull", index + 1, len(projects), items=len(projects)))
        with corpus.lock("annotate pull"), corpus.commit("lpse annotate pull") as change:
            add_annotations(corpus, rows, change)
        # last: if killed before, the next pull fetches the same again and adds no row
        state_path.parent.mkdir(exist_ok=True)
        remove_stale(state_path)
        with write_beside(state_path) as file:
            file.write(json.dumps(state, indent=1).encode())
    known = set(latest)
    rewritten = {row.version_id for row in counted([*earlier, *rows]).rewritten}
    return Pulled(
        new=sum(row.annotation_id not in known for row in rows),
        changed=sum(row.annotation_id in known and row.state != "deleted" for row in rows),
        deleted=sum(row.state == "deleted" for row in rows),
        skipped=sum(row.state == "skipped" for row in rows),
        edited_by_other=tuple(
            f"annotation of {row.annotator} (task {row.task_key}) was changed by {row.updated_by}: it does not count"
            for row in rows
            if row.version_id in rewritten
        ),
        problems=tuple(problems),
        tasks=fetched,
    )


def _changed(
    server: Server, project: Project, state: Mapping[str, Any] | None
) -> tuple[list[dict[str, Any]], bool, str | None]:
    """Exported tasks, True if these are all, and the instant of the latest change.

    A deleted task can only be detected by the number of tasks.
    """
    since = None if state is None else state.get("updated_at")
    complete = since is None or project.tasks < int(state["tasks"] if state else 0)
    if complete:
        ids = list(server.task_keys(project.id))
    else:
        ids = list(server.task_keys(project.id, changed_after=datetime.fromisoformat(str(since)) - OVERLAP))
    # one request for all is quicker than one for each PAGE of them, as long as most are wanted
    exported = server.export(project.id, ids if len(ids) <= PAGE else None)
    if len(ids) > PAGE:
        wanted = set(ids)
        exported = [task for task in exported if task["id"] in wanted]
    instants = [str(task["updated_at"]) for task in exported if task.get("updated_at")]
    instant = max((datetime.fromisoformat(text.replace("Z", "+00:00")) for text in instants), default=None)
    return exported, complete, since if instant is None else instant.isoformat()


def _records(
    exported: Iterable[Mapping[str, Any]], ours: Mapping[str, Task], people: Mapping[int, str], pulled_at: datetime
) -> tuple[dict[str, Annotation], list[str]]:
    """The annotations of exported tasks by annotation_id, and messages about unreadable ones."""
    records: dict[str, Annotation] = {}
    problems: list[str] = []
    for exported_task in exported:
        key = exported_task.get("data", {}).get("task_key")
        if key not in ours:
            if exported_task.get("annotations"):
                problems.append(
                    f"task {exported_task['id']} on the server is not in the corpus (task_key {key!r}): skipped"
                )
            continue
        for answer in exported_task.get("annotations", ()):
            try:
                record, faults = annotation_of(answer, ours[key], people, pulled_at)
            except (KeyError, TypeError, ValueError) as error:
                problems.append(f"task {key}: annotation {answer.get('id')} cannot be read: {error!r}")
                continue
            problems += faults
            records[record.annotation_id] = record
    return records, problems


def _versions(
    records: Mapping[str, Annotation],
    latest: Mapping[str, Annotation],
    exported: Iterable[Mapping[str, Any]],
    ours: Mapping[str, Task],
    complete: bool,
    pulled_at: datetime,
) -> list[Annotation]:
    """The new rows: other versions, and known annotations that were deleted."""
    rows = [
        row
        for row in records.values()
        if row.annotation_id not in latest or latest[row.annotation_id].version_id != row.version_id
    ]
    checked = set(ours) if complete else {task.get("data", {}).get("task_key") for task in exported}
    of: dict[str, list[Annotation]] = defaultdict(list)
    for row in latest.values():
        of[row.task_key].append(row)
    for key in sorted(checked & set(of)):
        for row in of[key]:
            if row.state != "deleted" and row.annotation_id not in records:
                # the server stores no time of it: it existed at `updated_at`, and not at `pulled_at`
                rows.append(named(replace(row, state="deleted", updated_at=pulled_at, pulled_at=pulled_at)))
    return rows


def _read_state(path: Path) -> dict[str, dict[str, Any]]:
    """The progress of the last pull in each project; empty if it was lost."""
    try:
        state: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        for one in state.values():
            int(one["tasks"])
            if one["updated_at"] is not None:
                datetime.fromisoformat(one["updated_at"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
    return state
