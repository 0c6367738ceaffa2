"""Building the page: what was gathered, what of the sound fits, one template, written whole or not at all."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from curation.catalog.accounting import DECISIONS, OUTCOMES
from manifests.files import write_beside
from manifests.labels import load_labels
from manifests.store import Corpus

from ..display import text as words
from .agreement import AgreementView, gather_agreement
from .previews import Previews, Sound, encode_previews, picture
from .recording import FLOOR_DBFS
from .view import LISTED_DROPS, View, gather

PICTURE_WIDTH = 160
_PICTURE_SHARE = 0.15  # of the budget, at most
_PICTURE_BYTES = 8_000
_STYLES = ("page.css", "agreement.css")
_SCRIPTS = ("timeline.js", "player.js", "page.js")  # one script, in this order


def write_report(
    corpus: Corpus,
    path: Path,
    *,
    budget_bytes: int = 40_000_000,
    max_recordings: int = 200,
    predicted: Mapping[str, int] | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> Path:
    """Write the page about a corpus to `path` and return it; `on_progress` is told the share done, 0 to 1.

    Sound and pictures go in as far as the page stays within `budget_bytes`, timelines for `max_recordings`;
    the page says what it leaves out. `predicted`: how many regions each pre-labelled task was sent with, by its key;
    what became of them is told only with it. Raises CorpusError for a corpus in which nothing was decided.
    """
    view = gather(corpus, max_recordings)
    page = _Page(view, gather_agreement(corpus, predicted))
    left = budget_bytes - len(page.render({}, None).encode())
    pictures = _pictures(view, left * _PICTURE_SHARE)
    left -= sum(map(len, pictures.values()))
    sounds = [Sound(r.recording.recording_id, r.path, r.duration, r.focuses) for r in view.shown if r.path is not None]

    def tell(done: float, total: float) -> None:
        if on_progress:
            on_progress(done / total)

    previews = encode_previews(sounds, left, tell)
    text = page.render(pictures, previews)
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_beside(path) as file:
        file.write(text.encode())
    if on_progress:
        on_progress(1.0)
    return path


def _pictures(view: View, budget_bytes: float) -> dict[str, str]:
    """A picture of each recording that has one, as data: URIs, as long as they fit."""
    found: dict[str, str] = {}
    for shown in view.shown:
        if budget_bytes < _PICTURE_BYTES:
            break
        if shown.path is not None and shown.recording.has_video:
            uri = picture(shown.path, shown.picture_time, PICTURE_WIDTH)
            if uri is not None:
                budget_bytes -= len(uri)
                found[shown.recording.recording_id] = uri
    return found


class _Page:
    """The template with everything in it that sound and pictures do not change."""

    def __init__(self, view: View, agreement: AgreementView | None) -> None:
        # autoescape: names of files are anything at all
        environment = Environment(
            loader=FunctionLoader(_part),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= {
            name: getattr(words, name) for name in ("clock", "long_clock", "percent", "plain", "visible")
        }
        environment.globals |= {"plural": words.plural}
        self._template = environment.get_template("template.html.j2")
        self._script = "".join(map(_part, _SCRIPTS))
        self._constant: dict[str, Any] = {
            "view": view,
            "agreement": agreement,
            "labels": load_labels(),
            "decisions": DECISIONS,
            "fates": OUTCOMES,
            "style": "".join(map(_part, _STYLES)),
            "script": self._script,
            # only this script runs, whatever a name may smuggle in
            "script_hash": b64encode(hashlib.sha256(self._script.encode()).digest()).decode(),
            "data": {
                "floor": FLOOR_DBFS,
                "silence": view.recipe.silence.rms_dbfs,
                # a list: lanes have an order, and the names beside them follow it
                "contaminants": [
                    {
                        "name": name,
                        "review_threshold": c.review_threshold,
                        "onset": c.onset,
                        "reject_threshold": c.reject_threshold,
                    }
                    for name, c in view.recipe.contaminants.items()
                ],
                "recordings": [shown.data() for shown in view.shown],
            },
            "listed_drops": LISTED_DROPS,
        }

    def render(self, pictures: dict[str, str], previews: Previews | None) -> str:
        notes = [] if previews is None else list(_notes(self._constant["view"], previews))
        return self._template.render(self._constant, pictures=pictures, previews=previews, notes=notes)


def _notes(view: View, previews: Previews) -> Iterator[str]:
    """What the page leaves out, and why: nothing is missing without a word."""
    if len(view.shown) < view.heard:
        yield (
            f"{len(view.shown):,} of {view.heard:,} recordings are shown: by turns those with most to "
            "review, the riskiest accepted, and the longest of which nothing is left."
        )
    seconds, quality = previews.plan.excerpt_seconds, f"mono at {previews.plan.bitrate // 1000} kb/s"
    if previews.clips and seconds is None:
        yield f"All their sound can be played, {quality}."
    elif previews.clips:
        yield (
            "All their sound would be too much for one page: what can be played is up to "
            f"{seconds:g} s around the riskiest moment of each cut, {quality}."
        )
    gone = sum(shown.path is None for shown in view.shown)
    broken = len(previews.problems.keys() - previews.clips.keys())
    for count, reason in (
        (gone, "the media is not where it was"),
        (broken, "the sound cannot be decoded"),
        (previews.left_out, "no more sound fits into the page"),
    ):
        if count:
            yield f"{words.plural(count, 'recording')} cannot be played: {reason}."


def _part(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")
