"""Middleware in front of all of Label Studio's own."""

from __future__ import annotations

import importlib
import os
import posixpath
import re
import threading
from collections.abc import Callable
from typing import Any

_TASK_REQUESTS = re.compile(r"/api/(projects/\d+/next|tasks/\d+/annotations|dm/actions)/?")


class Guard:
    """Serves files only from inside the document root, gives each task to one annotator, identifies the server.

    The check of local files follows links. On SQLite, Label Studio selects, marks and releases tasks without a
    transaction: two simultaneous requests get the same task, and a request during another's submission gets the answer
    that there are no more. So these requests run one at a time.
    """

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self._get_response = get_response
        self._root = importlib.import_module("django.conf").settings.LOCAL_FILES_DOCUMENT_ROOT
        self._nonce = os.environ["LPSE_SERVER_NONCE"]
        self._turn = threading.RLock()

    def __call__(self, request: Any) -> Any:
        if hands_out(request.method, request.path_info, request.GET.get("id")):
            _ = request.body  # read before the lock: a slow sender must not block others
            with self._turn:
                return self._get_response(request)
        response = self._get_response(request)
        if request.path_info.rstrip("/") == "/health":
            response["X-LPSE-Server"] = self._nonce
        return response

    def process_view(self, request: Any, view: Any, arguments: Any, names: Any) -> Any:
        """404 for a file outside. Checks the view's name: its URL pattern matches every path with data/local-files/."""
        if request.resolver_match.url_name == "localfiles_data" and leaves(self._root, request.GET.get("d") or ""):
            return importlib.import_module("django.http").HttpResponseNotFound()
        return None


def hands_out(method: str, path: str, action: str | None) -> bool:
    """True if a request takes a task out of the label stream or gives one back."""
    match = _TASK_REQUESTS.fullmatch(path)
    if match is None:
        return False
    if match[1] == "dm/actions":  # the button "label all tasks"
        return method == "POST" and action == "next_task"
    return method == ("GET" if match[1].startswith("projects") else "POST")


def leaves(root: str, path: str) -> bool:
    """True if a path relative to `root`, resolved as Label Studio resolves it, is outside of it."""
    try:
        real_root = os.path.realpath(root)
        real = os.path.realpath(os.path.join(real_root, posixpath.normpath(path).lstrip("/")))
    except ValueError:  # a NUL byte
        return True
    return os.path.commonpath((real_root, real)) != real_root
