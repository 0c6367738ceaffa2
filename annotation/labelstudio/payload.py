"""Converts tasks with their pre-labels to the server's format, with checks that the server does not make."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from manifests.errors import LpseError
from manifests.identity import digest
from manifests.records import LabelledSegment, Task

from ..tasks.proxies import proxy_paths
from .page import Variant, labelling_page

if TYPE_CHECKING:
    from label_studio_sdk.label_interface.interface import LabelInterface

LOCAL_FILES = "/data/local-files/?d="
_SLACK = 0.001  # seconds that rounding to milliseconds may add at a clip's end


class BadPrelabel(LpseError, ValueError):
    """A pre-label that the page cannot show, or that would come back changed."""


def payload(task: Task, model_version: str, *, media: str = LOCAL_FILES) -> dict[str, Any]:
    """The task in the server's import format, with its pre-labels as editable regions.

    `media`: prefix of a proxy's address. Raises BadPrelabel.
    """
    proxy = proxy_paths(task)
    data: dict[str, Any] = {"task_key": task.task_key, "audio": media + quote(proxy.sound)}
    if proxy.video is not None:
        data |= {"video": media + quote(proxy.video), "fps": proxy.fps}
    if task.votes is not None:
        data["votes"] = task.votes
    made: dict[str, Any] = {"data": data}
    if task.prelabelled:
        prediction = {
            "model_version": model_version,
            "result": [region(one, task, number) for number, one in enumerate(task.prelabels)],
        }
        check_prelabels(prediction, task)
        made["predictions"] = [prediction]
    return made


def region(segment: LabelledSegment, task: Task, number: int) -> dict[str, Any]:
    """A segment of the recording as a region of the task's clip; `number`: its index in the task."""
    start, end = segment.start - task.segment.start, segment.end - task.segment.start
    return {
        "id": digest(task.task_key, number)[:10],
        "from_name": "event",
        "to_name": "audio",
        "type": "labels",
        "original_length": task.segment.duration,
        "value": {"start": round(start, 3), "end": round(end, 3), "channel": 0, "labels": [segment.label]},
    }


def check_prelabels(prediction: Mapping[str, Any], task: Task) -> None:
    """Raise BadPrelabel for pre-labels that the page would reject, and for faults that only these checks detect."""
    place = f"task {task.task_key}"
    if not prediction.get("model_version"):
        raise BadPrelabel(f"{place}: a prediction needs a model_version, else the project's page hangs")
    check_results(prediction["result"], task.segment.duration, place)
    interface = _interface(Variant(task.has_picture, task.purpose == "adjudicate"))
    errors = interface.validate_prediction(  # type: ignore[no-untyped-call]
        {"score": 0.0, **prediction}, return_errors=True
    )
    if errors:
        raise BadPrelabel(f"{place}: {errors[0]}")


def check_results(results: Sequence[Mapping[str, Any]], duration: float, place: str) -> None:
    """Raise BadPrelabel for faults that the server accepts silently.

    These are invalid times, times outside the clip, and two answers to one choice.
    """
    single: set[tuple[str, object]] = set()
    for one in results:
        value = one.get("value", {})
        if "start" in value or "end" in value:
            start, end = value.get("start"), value.get("end")
            if not all(isinstance(t, int | float) and math.isfinite(t) for t in (start, end)):
                raise BadPrelabel(f"{place}: region {one.get('id')} from {start} to {end} s: the times must be finite")
            if not start < end:
                raise BadPrelabel(f"{place}: region {one.get('id')} starts at {start} s and ends at {end} s")
            if start < 0 or end > duration + _SLACK:
                raise BadPrelabel(
                    f"{place}: region {one.get('id')} from {start} to {end} s is outside the clip of {duration:.3f} s"
                )
        if one.get("type") == "labels" and len(value.get("labels", ())) != 1:
            raise BadPrelabel(
                f"{place}: region {one.get('id')} has {len(value.get('labels', ()))} labels, must have one"
            )
        if one.get("type") == "choices" and one.get("from_name") in ("verdict", "presence"):
            of = (str(one["from_name"]), one.get("id") if one["from_name"] == "presence" else None)
            if len(value.get("choices", ())) != 1 or of in single:
                raise BadPrelabel(f"{place}: {one['from_name']} is a single choice, but has several answers")
            single.add(of)


@cache
def _interface(variant: Variant) -> LabelInterface:
    from label_studio_sdk.label_interface.interface import LabelInterface

    return LabelInterface(labelling_page(variant))
