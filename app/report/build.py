"""Write the report: data of the corpus, previews within a size limit, one template, written whole or not at all."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from curation.catalog.accounting import DECISIONS, OUTCOMES
from manifests.files import remove_stale, write_beside
from manifests.labels import load_labels
from manifests.store import Corpus

from ..display import text as words
from ..display.files import CLOCK, read_texts
from ..display.tracks import FLOOR_DBFS
from .agreement import AgreementView, gather_agreement
from .previews import Previews, Sound, encode_previews, picture
from .view import LISTED_DROPS, View, gather

PICTURE_WIDTH = 160
_PICTURE_SHARE = 0.15  # of the budget, at most
_PICTURE_BYTES = 8_000
_STYLES = ("page.css", "agreement.css")


def write_report(
    corpus: Corpus,
    path: Path,
    *,
    budget_bytes: int = 40_000_000,
    max_recordings: int = 200,
    predicted: Mapping[str, int] | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> Path:
    """Write the report of a corpus to `path` and return the path; `on_progress` receives the share done, 0 to 1.

    Previews and stills are added up to `budget_bytes`, timelines for `max_recordings`; the page lists what it leaves
    out. `predicted`: number of regions with which each pre-labelled task was sent, by its key; without it the report
    has no figures about pre-labels. Raises CorpusError for a corpus without decisions.
    """
    view = gather(corpus, max_recordings)
    page = _Page(view, gather_agreement(corpus, predicted))
    left = budget_bytes - len(page.render({}, None).encode())
    pictures = _pictures(view, left * _PICTURE_SHARE)
    left -= sum(map(len, pictures.values()))
    sounds = [Sound(r.recording.recording_id, r.path, r.duration, r.focuses) for r in view.shown if r.path is not None]

    def on_seconds(done: float, total: float) -> None:
        if on_progress:
            on_progress(done / total)

    previews = encode_previews(sounds, left, on_seconds)
    text = page.render(pictures, previews)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_stale(path)
    with write_beside(path) as file:
        file.write(text.encode())
    if on_progress:
        on_progress(1.0)
    return path


def _pictures(view: View, budget_bytes: float) -> dict[str, str]:
    """A still of each recording with video, as data: URIs, as long as they fit."""
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
    """The template with all data but previews and stills."""

    def __init__(self, view: View, agreement: AgreementView | None) -> None:
        # autoescape: file names may hold any character
        environment = Environment(
            loader=FunctionLoader(_read),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= {
            name: getattr(words, name)
            for name in ("clock", "long_clock", "outcome_name", "percent", "plain", "visible")
        }
        environment.globals |= {"plural": words.plural}
        self._template = environment.get_template("template.html.j2")
        # one script, in this order
        self._script = _read("timeline.js") + read_texts(*CLOCK) + _read("player.js", "page.js")
        self._constant: dict[str, Any] = {
            "view": view,
            "agreement": agreement,
            "labels": load_labels(),
            "decisions": DECISIONS,
            "outcomes": OUTCOMES,
            "style": _read(*_STYLES),
            "script": self._script,
            # only this script runs, even if a name holds markup
            "script_hash": b64encode(hashlib.sha256(self._script.encode()).digest()).decode(),
            "data": {
                "names": {decision: words.outcome_name(decision) for decision in DECISIONS},
                "floor": FLOOR_DBFS,
                "silence": view.recipe.silence.rms_dbfs,
                # a list: tracks have an order, and the names beside them follow it
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
    """The recordings and previews that the page leaves out, with the reason for each."""
    if len(view.shown) < view.decided:
        yield (
            f"{len(view.shown):,} of {view.decided:,} recordings are listed: in turn those with the most time for "
            "review, those with the riskiest accepted cut, and the longest without a cut."
        )
    seconds, quality = previews.plan.excerpt_seconds, f"at {previews.plan.bitrate // 1000} kb/s"
    if previews.clips and seconds is None:
        yield f"Previews cover all audio, {quality}."
    elif previews.clips:
        yield (
            f"The audio is too long for one page. Previews are up to {seconds:g} s around the riskiest moment of each "
            f"cut, {quality}."
        )
    gone = sum(shown.path is None for shown in view.shown)
    broken = len(previews.problems.keys() - previews.clips.keys())
    for count, reason in (
        (gone, "the media file is missing"),
        (broken, "the audio cannot be decoded"),
        (previews.left_out, "the page has no room for more previews"),
    ):
        if count:
            yield f"{words.plural(count, 'recording')} without a preview: {reason}."


def _read(*names: str) -> str:
    return read_texts("report", *names)
