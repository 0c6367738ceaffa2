"""Client of a Label Studio server: projects, tasks, answers, users.

Reads are retried, writes never: a write whose response was lost may have succeeded, and only the caller knows what was
to be written and can check it (`push`). Errors are one line without headers, because headers contain cookies.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..server import Access, ServerError
from ..server.web import is_loopback

if TYPE_CHECKING:
    from label_studio_sdk import LabelStudio

PAGE = 500  # tasks of one listing or export: addresses with more ids become too long
TIMEOUT_SECONDS = 120
_ONCE: Any = {"max_retries": 0, "timeout_in_seconds": TIMEOUT_SECONDS}
_AGAIN: Any = {"max_retries": 4, "timeout_in_seconds": TIMEOUT_SECONDS}
_PASSING = {408, 409, 425, 429, 500, 502, 503, 504}


class Unanswered(ServerError):
    """The result of a request is unknown: the server did not respond, or responded with a failure of its own."""


@dataclass(frozen=True)
class Project:
    """A project of the server; `description` contains the mark of lpse's projects."""

    id: int
    title: str
    description: str
    page: str
    tasks: int


class Server:
    """A server with a token. Every method raises ServerError; those that write, Unanswered if the result is unknown."""

    def __init__(self, access: Access) -> None:
        try:
            import httpx
            from label_studio_sdk import LabelStudio
        except ImportError as error:
            raise ServerError(f"Label Studio's library is missing: pip install 'lpse[labelstudio]' ({error})") from None

        self.url = access.url
        # a web proxy cannot reach this machine's own addresses
        self._http = httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=not is_loopback(access.url), follow_redirects=True)
        self._sdk: LabelStudio = LabelStudio(  # type: ignore[no-untyped-call]
            base_url=access.url, api_key=access.token, httpx_client=self._http
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def whoami(self) -> str:
        """The e-mail address of the token's owner: fails early if the server or the token is wrong."""
        with self._request("whoami"):
            return str(self._sdk.users.whoami(request_options=_AGAIN).email)

    def projects(self) -> list[Project]:
        """All projects that are visible to the token's owner."""
        with self._request("list projects"):
            listed: Any = self._sdk.projects.list(page_size=100, request_options=_AGAIN)
            return [_project(one) for one in listed]

    def project(self, id: int) -> Project:
        """One project in its current state."""
        with self._request(f"project {id}"):
            return _project(self._sdk.projects.get(id, request_options=_AGAIN))

    def create_project(self, title: str, description: str, page: str, guide: str, annotators: int) -> Project:
        """Create a project in which every task is served to `annotators` people, in the order of import."""
        with self._request("create project"):
            made = self._sdk.projects.create(
                title=title,
                description=description,
                label_config=page,
                expert_instruction=guide,
                show_instruction=True,
                maximum_annotations=annotators,
                sampling="Sequential sampling",
                show_collab_predictions=True,
                enable_empty_annotation=True,
                request_options=_ONCE,
            )
            return self.project(int(made.id or 0))

    def update_project(self, id: int, **settings: Any) -> None:
        """Change a project's settings; a repetition has no further effect."""
        with self._request(f"update project {id}"):
            self._sdk.projects.update(id, request_options=_ONCE, **settings)

    def serve_folder(self, id: int, folder: str) -> None:
        """Let the project's pages load files below `folder` (a path on the server's machine)."""
        with self._request(f"local storage of project {id}"):
            stores = self._sdk.import_storage.local.list(project=id, request_options=_AGAIN)
            if all(store.path != folder for store in stores):
                self._sdk.import_storage.local.create(
                    project=id, path=folder, use_blob_urls=True, title="lpse proxies", request_options=_ONCE
                )

    def import_tasks(self, id: int, tasks: Sequence[Mapping[str, Any]]) -> None:
        """Import tasks, all of them or none."""
        with self._request(f"import into project {id}"):
            request: Any = list(tasks)
            self._sdk.projects.import_tasks(id, request=request, return_task_ids=True, request_options=_ONCE)

    def delete_tasks(self, ids: Sequence[int]) -> None:
        """Delete tasks, one by one; a missing task is no error."""
        for id in ids:
            with self._request(f"delete task {id}", gone_is_fine=True):
                self._sdk.tasks.delete(str(id), request_options=_ONCE)

    def task_keys(
        self, id: int, among: Sequence[str] | None = None, changed_after: datetime | None = None
    ) -> dict[int, str | None]:
        """`data.task_key` of a project's tasks by id; only those `among` keys, or changed after an instant."""
        if among is not None:
            keys = list(among)
            parts = [keys[first : first + PAGE] for first in range(0, len(keys), PAGE)]
            keys_by_id: dict[int, str | None] = {}
            for part in parts:
                keys_by_id |= self._listed(id, _filter("filter:tasks:data.task_key", "in_list", part, "List"))
            return keys_by_id
        if changed_after is None:
            return self._listed(id, None)
        instant = changed_after.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return self._listed(id, _filter("filter:tasks:updated_at", "greater", instant, "Datetime"))

    def export(self, id: int, ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """Tasks with all their annotations, as the server's JSON: those with `ids`, or all with annotations."""
        if ids is None:
            return self._export(id, None)
        parts = (ids[first : first + PAGE] for first in range(0, len(ids), PAGE))
        return [task for part in parts for task in self._export(id, part)]

    def people(self) -> dict[int, str]:
        """E-mail addresses by user id."""
        with self._request("list users"):
            return {int(user.id): str(user.email) for user in self._sdk.users.list(request_options=_AGAIN)}

    def _listed(self, id: int, query: str | None) -> dict[int, str | None]:
        # get the project first: the library treats a deleted project as one without tasks
        self.project(id)
        with self._request(f"list tasks of project {id}"):
            pager: Any = self._sdk.tasks.list(
                project=id, page_size=PAGE, fields="task_only", include="id,data", query=query, request_options=_AGAIN
            )
            keys: dict[int, str | None] = {}
            for task in pager:
                data = task.data if isinstance(task.data, dict) else {}
                key = data.get("task_key")
                keys[int(task.id)] = key if isinstance(key, str) else None
            return keys

    def _export(self, id: int, ids: Sequence[int] | None) -> list[dict[str, Any]]:
        with self._request(f"export project {id}"):
            # the library sends `ids`, which the server ignores: it would export everything
            only = {} if ids is None else {"additional_query_parameters": {"ids[]": [str(one) for one in ids]}}
            options: Any = {**_AGAIN, **only}
            chunks = self._sdk.projects.exports.download_sync(
                id, export_type="JSON", download_all_tasks=ids is not None, request_options=options
            )
            tasks: list[dict[str, Any]] = json.loads(b"".join(chunks))
            return tasks

    @contextmanager
    def _request(self, what: str, *, gone_is_fine: bool = False) -> Iterator[None]:
        """Convert errors of the block to one line. The text of an ApiError has headers with cookies: never shown."""
        import httpx
        from label_studio_sdk.core.api_error import ApiError

        try:
            yield
        except ApiError as error:
            if error.status_code == 404 and gone_is_fine:
                return
            if error.status_code in (401, 403):
                raise ServerError(f"{self.url}: Label Studio refuses the token (status {error.status_code})") from None
            text = f"{self.url}: {what}: status {error.status_code}: {_message(error.body)}"
            raise (Unanswered if error.status_code in _PASSING else ServerError)(text) from None
        except (httpx.HTTPError, httpx.InvalidURL, json.JSONDecodeError) as error:
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise Unanswered(f"{self.url}: {what}: Label Studio does not answer: {reason}") from None


def _project(one: Any) -> Project:
    return Project(
        id=int(one.id),
        title=one.title or "",
        description=one.description or "",
        page=one.label_config or "",
        tasks=int(one.task_number or 0),
    )


def _filter(column: str, operator: str, value: object, type: str) -> str:
    """A Data Manager query of one condition."""
    item = {"filter": column, "operator": operator, "type": type, "value": value}
    return json.dumps({"filters": {"conjunction": "and", "items": [item]}})


def _message(body: object) -> str:
    """The server's error message, short and on one line."""
    if isinstance(body, Mapping):
        body = body.get("validation_errors") or body.get("detail") or body
    text = " ".join(str(body).split())
    return text if len(text) <= 300 else f"{text[:300]}…"
