"""Blind trials: audio of two systems under random names, so that neither address nor file reveals the system.

Both have the same format: mono, one sample rate, 16-bit PCM.
"""

from __future__ import annotations

import io
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import soundfile
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from curation.media import MediaError, mono_span
from manifests.generated import GeneratedSound
from manifests.records import REFERENCE, Cut, Recording
from manifests.store import Corpus

from ..places import MediaFiles, NotHere
from ..security import guarded

LONGEST_SECONDS = 120.0  # of a cut: nobody remembers a longer first sound well enough to compare
_KEPT = 200  # open trials; the oldest is removed
SIDES = ("a", "b")


@dataclass(frozen=True)
class Trial:
    """Audio of two systems for a cut, in the order of the trial; `joins` of each, in seconds, None if unknown."""

    token: str
    cut: Cut
    systems: tuple[str, str]
    joins: tuple[tuple[float, ...] | None, tuple[float, ...] | None]
    seconds: float


class BlindTrials:
    """The open trials of this process; nothing is stored on disk."""

    def __init__(self, corpus: Corpus) -> None:
        self._places = MediaFiles(corpus)
        self._lock = Lock()
        self._open: OrderedDict[str, tuple[Trial, tuple[Path | None, Path | None], int]] = OrderedDict()

    def begin(
        self, cut: Cut, systems: tuple[str, str], sounds: Mapping[str, GeneratedSound], recording: Recording
    ) -> Trial:
        """A trial of these systems; "reference" is the recording. Raises NotHere for missing audio."""
        one, other = (None if name == REFERENCE else sounds[name] for name in systems)
        paths = (one.path if one else None, other.path if other else None)
        rate = min((_rate(path) for path in paths if path is not None), default=recording.sample_rate or 48_000)
        joins = (one.joins if one else None, other.joins if other else None)
        seconds = min(cut.segment.duration, LONGEST_SECONDS)
        trial = Trial(secrets.token_hex(12), cut, systems, joins, seconds)
        with self._lock:
            self._open[trial.token] = (trial, paths, rate)
            while len(self._open) > _KEPT:
                self._open.popitem(last=False)
        return trial

    def find(self, token: str) -> Trial | None:
        """An open trial; None if the app has restarted since."""
        with self._lock:
            found = self._open.get(token)
        return None if found is None else found[0]

    def wav(self, token: str, side: int) -> bytes:
        """The audio of one side of a trial. Raises NotHere if it cannot be read."""
        with self._lock:
            found = self._open.get(token)
        if found is None:
            raise NotHere("this trial is no longer open: load the page again")
        trial, paths, rate = found
        path, start = paths[side], 0.0
        if path is None:
            path, start = self._places.original(trial.cut.recording_id), trial.cut.start
        try:
            mono = mono_span(path, start, start + trial.seconds, rate)
        except (MediaError, OSError) as error:
            raise NotHere(f"audio of this trial cannot be read: {_reason(error)}") from error
        file = io.BytesIO()
        soundfile.write(file, mono, rate, "PCM_16", format="WAV")
        return file.getvalue()


def trial_routes(trials: BlindTrials) -> list[BaseRoute]:
    """/lpse/trial/TOKEN/a and b: the audio of a trial."""

    def answer(request: Request) -> Response:
        side = request.path_params["side"]
        if side not in SIDES:
            raise NotHere("a trial has the sides a and b")
        return Response(trials.wav(request.path_params["token"], SIDES.index(side)), media_type="audio/wav")

    return [Route("/lpse/trial/{token}/{side}", lambda request: guarded(answer, request), methods=["GET"])]


def _rate(path: Path) -> int:
    try:
        return int(soundfile.info(path).samplerate)
    except (OSError, RuntimeError) as error:
        raise NotHere(f"{path.name} of {path.parent.name} cannot be read") from error


def _reason(error: MediaError | OSError) -> str:
    return error.detail if isinstance(error, MediaError) else error.strerror or type(error).__name__


_trials: dict[Path, BlindTrials] = {}


def trials_of(corpus: Corpus) -> BlindTrials:
    """The open trials of a corpus in this process, which pages and routes share."""
    return _trials.setdefault(corpus.path, BlindTrials(corpus))
