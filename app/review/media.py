"""Routes beside those of Streamlit: audio and video of recordings, in pieces as a player requests them.

/lpse/media/ID    the recording's file, or its copy where a browser cannot play the file; with ranges
/lpse/ready/ID    whether it can be played yet, as JSON; the request starts making a copy if one is needed
/lpse/sight/ID    wave and spectrum of a span, as bytes of the columns of `app.display.spectrogram`
/lpse/tracks/ID    the tracks of the detectors, `player_data.tracks_as_bytes`

An address names a recording by its id, nothing else. `security.Gate` decides which requests come here.
"""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from manifests.store import Corpus
from manifests.time import from_ms, to_ms

from ..display.spectrogram import BYTES
from .places import MediaFiles, SpectrumColumns, Waiting
from .player_data import tracks_as_bytes
from .security import BadRequest, guarded

MAX_COLUMNS = 4096


def sound_url(recording_id: str, start: float, end: float) -> str:
    """The address of [start, end) seconds of a recording, for `src` of a player."""
    return f"/lpse/media/{recording_id}#t={from_ms(to_ms(start)):.3f},{from_ms(to_ms(end)):.3f}"


def routes(corpus: Corpus) -> list[BaseRoute]:
    """The routes of a corpus; requests pass `security.Gate` first."""
    places = MediaFiles(corpus)
    answers = {"media": _media, "ready": _ready, "sight": _sight, "tracks": _tracks}
    return [
        Route(f"/lpse/{name}/{{recording_id}}", partial(guarded, partial(answer, places)), methods=["GET"])
        for name, answer in answers.items()
    ]


def _media(places: MediaFiles, request: Request) -> Response:
    path, kind = places.playable(request.path_params["recording_id"], "copy" in request.query_params)
    return FileResponse(path, media_type=kind)


def _ready(places: MediaFiles, request: Request) -> Response:
    waiting = places.prepare(request.path_params["recording_id"], "copy" in request.query_params)
    return JSONResponse({"ready": waiting is None, "share": waiting.share if waiting else 1.0})


def _sight(places: MediaFiles, request: Request) -> Response:
    start, end = (_number(request, name) for name in ("start_ms", "end_ms"))
    columns = _number(request, "columns")
    if not start < end or not 1 <= columns <= MAX_COLUMNS:
        raise BadRequest(f"{start} to {end} ms in {columns} columns: a span and 1 to {MAX_COLUMNS} columns are needed")
    seen = places.sight(request.path_params["recording_id"], from_ms(start), from_ms(end), columns)
    if isinstance(seen, Waiting):
        return JSONResponse({"share": seen.share}, 202)
    return _bytes(seen)


def _bytes(seen: SpectrumColumns) -> Response:
    headers = {"x-start": f"{seen.start:.6f}", "x-column-seconds": f"{seen.column_seconds:.9f}", "x-rows": str(BYTES)}
    return Response(seen.columns.tobytes(), media_type="application/octet-stream", headers=headers)


def _tracks(places: MediaFiles, request: Request) -> Response:
    recording = places.recording(request.path_params["recording_id"])
    return Response(tracks_as_bytes(places.corpus, recording), media_type="application/octet-stream")


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise BadRequest(f"{name} must be a whole number of up to 12 digits")
    return int(text)
