"""Beside the player: who decided what about a recording, what it is, and where all of it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curation.detectors import ModelUnavailable, spec
from curation.detectors.score_store import setup_of
from manifests.recipe import Recipe
from manifests.records import Measured, Recording, Source
from manifests.store import Corpus
from manifests.uris import display_path
from manifests.verdicts import current

from ..display.measures import MEASURES
from ..display.text import megabytes, plain, plural, tracks_text, visible

if TYPE_CHECKING:
    from annotation.rounds.review import RecordingState


def history(situation: RecordingState, author: str) -> list[dict[str, Any]]:
    """All verdicts about the recording, the latest first; `now`: no row supersedes it."""
    valid = {row.verdict_id for row in current(situation.history)}
    rows = sorted(situation.history, key=lambda row: (row.made_at, row.verdict_id), reverse=True)
    return [
        {
            "id": row.verdict_id,
            "when": f"{row.made_at:%Y-%m-%d %H:%M:%S}",
            "who": visible(row.author),
            "how": plain(row.method),
            "decision": row.decision,
            "start": row.start_ms / 1000,
            "end": row.end_ms / 1000,
            "reasons": [visible(plain(reason)) for reason in row.reasons],
            "excised": [[one.start, one.end, visible(one.label)] for one in row.excised],
            "comment": visible(row.comment or ""),
            "now": row.verdict_id in valid,
            "mine": row.author == author,
        }
        for row in rows
    ]


def facts(corpus: Corpus, situation: RecordingState, recipe: Recipe | None) -> list[dict[str, Any]]:
    """Metadata and provenance in groups of (name, value) rows."""
    recording = situation.recording
    groups = [("Recording", _about(recording)), ("Signal quality", _measured(recording))]
    for number, source in enumerate(situation.sources, 1):
        groups.append(("Source" if len(situation.sources) == 1 else f"Source {number}", _source(source)))
    groups.append(("Recipe", _recipe(corpus, recipe)))
    return [
        {"title": name, "rows": [[key, visible(value)] for key, value in rows if value]}
        for name, rows in groups
        if rows
    ]


def _about(row: Recording) -> list[tuple[str, str]]:
    size = megabytes(row.bytes) if row.bytes else ""
    audio = [row.audio_codec or "", f"{row.sample_rate:,} Hz" if row.sample_rate else ""]
    audio += [plural(row.channels, "channel")] if row.channels else []
    video = [row.video_codec or "", f"{row.width}×{row.height}" if row.width else ""]
    video += [f"{row.fps:.3g} fps"] if row.fps else []
    ends = [f"{name} {end:.3f} s" for name, end in (("audio", row.audio_end), ("video", row.video_end)) if end]
    return [
        ("file", display_path(row.uri)),
        ("container", " · ".join(filter(None, [row.container or "", size]))),
        ("audio", " · ".join(filter(None, audio))),
        ("audio tracks", tracks_text(row.audio_tracks)),
        ("video", " · ".join(filter(None, video)) if row.has_video else "none"),
        ("ends", ", ".join(ends)),
        ("joined", ", ".join(f"{time:.3f} s" for time in row.splices)),
        ("status", row.status),
        ("recording id", row.recording_id),
        ("SHA-256", row.sha256 or ""),
    ]


def _measured(row: Measured) -> list[tuple[str, str]]:
    values = {name: getattr(row, name, None) for name in MEASURES}
    return [(MEASURES[name].title, MEASURES[name].value(value)) for name, value in values.items() if value is not None]


def _source(source: Source) -> list[tuple[str, str]]:
    fetched = f"{source.fetched_at:%Y-%m-%d %H:%M} UTC" if source.fetched_at else ""
    return [
        ("title", source.title or ""),
        ("channel", source.channel or ""),
        ("licence", source.licence or "unknown"),
        ("origin", source.origin),
        ("address", source.uri),
        ("fetched", fetched),
        ("source id", source.source_id),
    ]


def _recipe(corpus: Corpus, recipe: Recipe | None) -> list[tuple[str, str]]:
    rows = [("name", recipe.name if recipe else ""), ("hash", corpus.recipe_hash or "")]
    if recipe is not None:
        setup = setup_of(corpus, recipe)
        for name in recipe.all_detectors:
            try:
                rows.append((name, f"version {spec(name, setup).version}"))
            except ModelUnavailable:
                rows.append((name, "not installed"))
    return rows
