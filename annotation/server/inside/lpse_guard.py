"""Middleware in front of all of Label Studio's own."""

from __future__ import annotations

import importlib
import os
import posixpath
import re
import threading
from collections.abc import Callable
from typing import Any

_HANDS_OUT = re.compile(r"/api/(projects/\d+/next|tasks/\d+/annotations|dm/actions)/?")


class Guard:
    """Local files only from inside the document root, links followed; one task for one annotator; and a sign by which
    the server is known.

    On SQLite, Label Studio chooses, marks and releases tasks without a transaction: two who ask at once get the same
    task, and one who asks while the other submits is told that there are no more. So these requests take turns.
    """

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self._get_response = get_response
        self._root = importlib.import_module("django.conf").settings.LOCAL_FILES_DOCUMENT_ROOT
        self._nonce = os.environ["LPSE_SERVER_NONCE"]
        self._turn = threading.RLock()

    def __call__(self, request: Any) -> Any:
        if hands_out(request.method, request.path_info, request.GET.get("id")):
            _ = request.body  # read before it is its turn: a slow sender must hold up nobody
            with self._turn:
                return self._get_response(request)
        response = self._get_response(request)
        if request.path_info.rstrip("/") == "/health":
            response["X-LPSE-Server"] = self._nonce
        return response

    def process_view(self, request: Any, view: Any, arguments: Any, names: Any) -> Any:
        """404 for a file outside. By the view's name: its address matches anything that holds data/local-files/."""
        if request.resolver_match.url_name == "localfiles_data" and leaves(self._root, request.GET.get("d") or ""):
            return importlib.import_module("django.http").HttpResponseNotFound()
        return None


def hands_out(method: str, path: str, action: str | None) -> bool:
    """Whether a request takes a task out of the label stream or gives one back."""
    match = _HANDS_OUT.fullmatch(path)
    if match is None:
        return False
    if match[1] == "dm/actions":  # the button "label all tasks"
        return method == "POST" and action == "next_task"
    return method == ("GET" if match[1].startswith("projects") else "POST")


def leaves(root: str, path: str) -> bool:
    """Whether a path relative to `root`, taken as Label Studio takes it, really lies outside of it."""
    try:
        real_root = os.path.realpath(root)
        real = os.path.realpath(os.path.join(real_root, posixpath.normpath(path).lstrip("/")))
    except ValueError:  # a NUL byte
        return True
    return os.path.commonpath((real_root, real)) != real_root
