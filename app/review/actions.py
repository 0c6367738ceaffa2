"""Actions of reviewers: read from the message of the player, checked, and carried out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from annotation.rounds.review import ReviewRequest, ReviewResult, decide_span, request_annotation, undo
from manifests.records import Verdict
from manifests.schema import CorpusError
from manifests.store import Corpus

from ..display.text import clock, plain, verdict_name, visible

ActionName = Literal["keep", "reject", "trim", "ask", "open", "undo"]
MAX_COMMENT = 2000
_DONE = {
    "keep": "Kept",
    "reject": "Rejected",
    "trim": "Trimmed",
    "ask": "Sent to annotators:",
    "open": "Comment saved for",
}


@dataclass(frozen=True)
class Action:
    """An action on a span of a recording, or the undoing of a verdict; `go`: show the next cut for review then."""

    name: ActionName
    recording_id: str
    start_ms: int = 0
    end_ms: int = 0
    keep: tuple[int, int] | None = None
    reasons: tuple[str, ...] = ()
    comment: str = ""
    verdict_id: str = ""
    go: bool = False


def read(payload: Mapping[str, Any]) -> Action:
    """The action that a browser sent. Raises CorpusError for an invalid message."""
    name: ActionName | Any = payload.get("action")
    if name not in get_args(ActionName):
        raise CorpusError(f"action {name!r} is not one of {', '.join(get_args(ActionName))}")
    if name == "undo":
        return Action(name, _text(payload, "recording_id"), verdict_id=_text(payload, "verdict_id"))
    keep = payload.get("keep")
    reasons = payload.get("reasons") or []
    if not isinstance(reasons, list) or not all(isinstance(reason, str) for reason in reasons):
        raise CorpusError("reasons must be a list of names")
    comment = _text(payload, "comment")
    if len(comment) > MAX_COMMENT:
        raise CorpusError(f"the comment has {len(comment)} characters, the limit is {MAX_COMMENT}")
    return Action(
        name=name,
        recording_id=_text(payload, "recording_id"),
        start_ms=_whole(payload.get("start_ms"), "start_ms"),
        end_ms=_whole(payload.get("end_ms"), "end_ms"),
        keep=_pair(keep) if name == "trim" else None,
        reasons=tuple(reasons),
        comment=comment,
        go=bool(payload.get("go")),
    )


def carry_out(corpus: Corpus, action: Action, author: str, seen: frozenset[str]) -> ReviewResult:
    """Write the verdict of an action; raises the errors of `annotation.rounds.review`."""
    if action.name == "undo":
        return undo(corpus, action.verdict_id, author, seen)
    comment = action.comment.strip() or None
    if action.name == "ask":
        return request_annotation(corpus, action.recording_id, action.start_ms, action.end_ms, author, seen, comment)
    request = ReviewRequest(
        recording_id=action.recording_id,
        start_ms=action.start_ms,
        end_ms=action.end_ms,
        decision="keep" if action.name == "trim" else action.name,
        author=author,
        seen=seen,
        reasons=action.reasons if action.name == "reject" else (),
        comment=comment,
        keep=action.keep,
    )
    return decide_span(corpus, request)


def done(action: Action, row: Verdict) -> str:
    """The result of an action in one line."""
    span = f"{clock(row.start_ms / 1000)} to {clock(row.end_ms / 1000)}"
    if action.name == "undo":
        return f"Undone: {span} is {verdict_name(row.decision)} again"
    return f"{_DONE[action.name]} {span}"


def describe(row: Verdict) -> str:
    """A verdict in one line."""
    parts = [
        f"{row.made_at:%Y-%m-%d %H:%M:%S} UTC: {visible(row.author)}: {verdict_name(row.decision)}, "
        f"{clock(row.start_ms / 1000)} to {clock(row.end_ms / 1000)}",
        ", ".join(plain(reason) for reason in row.reasons),
        visible(row.comment or ""),
    ]
    return "; ".join(filter(None, parts))


def _text(payload: Mapping[str, Any], name: str) -> str:
    value = payload.get(name, "")
    if not isinstance(value, str):
        raise CorpusError(f"{name} must be text")
    return value


def _whole(value: Any, name: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise CorpusError(f"{name} must be a whole number of milliseconds, not {value!r}")
    return value


def _pair(value: Any) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise CorpusError("keep must be two numbers of milliseconds")
    return _whole(value[0], "keep"), _whole(value[1], "keep")
