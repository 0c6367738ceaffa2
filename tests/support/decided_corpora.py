"""Corpora of recordings that nobody made, whose scores have known contents, decided over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from curation.detectors.score_store import save_scores, setup_of
from curation.pipeline.curate import replay
from manifests.recipe import Recipe
from manifests.records import Source
from manifests.store import Corpus
from tests.support.in_process import in_process
from tests.support.made_up_scores import clean, lanes, recording, say

SIGNAL = ("loudness_lufs", "dc", "dead", "copied", "mono_loss_db")
Said = tuple[str, float, float, float]


def heard_corpus(folder: Path, recipe: Recipe, seconds: float, said: Mapping[str, Iterable[Said]]) -> Corpus:
    """A corpus of recordings by id, in which the detectors say (what, start, end, value) and else nothing."""
    corpus = Corpus.create(folder)
    setup = setup_of(corpus, recipe)
    for name, words in said.items():
        scores = clean(seconds)
        for what, start, end, value in words:
            say(scores, what, start, end, value)
        scores["signal"] = lanes(SIGNAL, seconds, 0.1, 0.4, loudness_lufs=-20, dc=0, dead=0, copied=0, mono_loss_db=0)
        for detector, frames in scores.items():
            save_scores(corpus, name, detector, setup, frames)
    corpus.replace("recordings", [recording(seconds, recording_id=name, uri=f"m:{name}.mp4") for name in said])
    corpus.replace(
        "sources", [Source(source_id=name, uri=f"m:{name}.mp4", recording_id=name, origin="folder") for name in said]
    )
    replay(corpus, recipe, runner=in_process)
    return corpus
