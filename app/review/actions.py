"""What the player sends when somebody decides, checked, and done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from annotation.rounds.review import ReviewRequest, ReviewResult, decide_span, request_annotation, undo
from manifests.records import Verdict
from manifests.schema import CorpusError
from manifests.store import Corpus

from ..display.text import clock, plain, visible

Action = Literal["keep", "reject", "trim", "ask", "open", "undo"]
MAX_COMMENT = 2000
_DONE = {"keep": "Kept", "reject": "Rejected", "trim": "Trimmed", "ask": "Sent to annotators:", "open": "Commented on"}


@dataclass(frozen=True)
class Asked:
    """An action on a span of a recording, or on a row that is to be undone; `go`: on to the next cut then."""

    action: Action
    recording_id: str
    start_ms: int = 0
    end_ms: int = 0
    keep: tuple[int, int] | None = None
    reasons: tuple[str, ...] = ()
    comment: str = ""
    verdict_id: str = ""
    go: bool = False


def read(payload: Mapping[str, Any]) -> Asked:
    """The action that a browser sent. Raises CorpusError for what is none."""
    action: Action | Any = payload.get("action")
    if action not in get_args(Action):
        raise CorpusError(f"action {action!r} is none of {', '.join(get_args(Action))}")
    if action == "undo":
        return Asked(action, _text(payload, "recording_id"), verdict_id=_text(payload, "verdict_id"))
    keep = payload.get("keep")
    reasons = payload.get("reasons") or []
    if not isinstance(reasons, list) or not all(isinstance(reason, str) for reason in reasons):
        raise CorpusError("reasons must be a list of names")
    comment = _text(payload, "comment")
    if len(comment) > MAX_COMMENT:
        raise CorpusError(f"the comment has {len(comment)} characters, {MAX_COMMENT} at most are kept")
    return Asked(
        action=action,
        recording_id=_text(payload, "recording_id"),
        start_ms=_whole(payload.get("start_ms"), "start_ms"),
        end_ms=_whole(payload.get("end_ms"), "end_ms"),
        keep=_pair(keep) if action == "trim" else None,
        reasons=tuple(reasons),
        comment=comment,
        go=bool(payload.get("go")),
    )


def carry_out(corpus: Corpus, asked: Asked, author: str, seen: frozenset[str]) -> ReviewResult:
    """Write what was asked for; raises what `annotation.rounds.review` raises."""
    if asked.action == "undo":
        return undo(corpus, asked.verdict_id, author, seen)
    comment = asked.comment.strip() or None
    if asked.action == "ask":
        return request_annotation(corpus, asked.recording_id, asked.start_ms, asked.end_ms, author, seen, comment)
    wish = ReviewRequest(
        recording_id=asked.recording_id,
        start_ms=asked.start_ms,
        end_ms=asked.end_ms,
        decision="keep" if asked.action == "trim" else asked.action,
        author=author,
        seen=seen,
        reasons=asked.reasons if asked.action == "reject" else (),
        comment=comment,
        keep=asked.keep,
    )
    return decide_span(corpus, wish)


def done(asked: Asked, row: Verdict) -> str:
    """What was done, in a line."""
    where = f"{clock(row.start_ms / 1000)} to {clock(row.end_ms / 1000)}"
    if asked.action == "undo":
        return (
            f"Undone: {where} is {'as if nobody had decided' if row.decision == 'open' else plain(row.decision)} again"
        )
    return f"{_DONE[asked.action]} {where}"


def describe(row: Verdict) -> str:
    """What a row says, in a line."""
    parts = [
        f"{row.made_at:%Y-%m-%d %H:%M:%S} UTC: {visible(row.author)}: {plain(row.decision)}, "
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
