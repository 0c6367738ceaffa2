"""The result of a run: what became of the corpus, and what was scored for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from manifests.recipe import Recipe
from manifests.records import Duplicate
from manifests.schema import to_table

from ..catalog.accounting import CorpusAccount, corpus_account
from .commit import Tables
from .coverage import CascadeAccount, Need
from .settle import Settled


@dataclass(frozen=True)
class CurationResult:
    """The result of a run over a corpus.

    `account`: the outcome of every second of the corpus, its cuts and its drops. `scored`: time scored during the
    decisions, beyond whole recordings. `cascade`: None without one. `seconds`: the duration of the run.
    """

    account: CorpusAccount
    scored: Mapping[str, Need]
    cascade: CascadeAccount | None
    seconds: float


def result_of(
    recipe: Recipe,
    tables: Tables,
    duplicates: Sequence[Duplicate],
    settled: Mapping[str, Settled],
    scored: Mapping[str, Need],
    seconds: float,
) -> CurationResult:
    """The result of the run that wrote `tables` and `duplicates`."""
    account = corpus_account(
        {
            "recordings": to_table("recordings", tables.recordings),
            "events": tables.events,
            "cuts": tables.cuts,
            "drops": to_table("drops", tables.drops),
            "duplicates": to_table("duplicates", duplicates),
        }
    )
    durations = {row.recording_id: row.duration or 0.0 for row in tables.recordings}
    return CurationResult(account, scored, _cascade(recipe, settled, durations), seconds)


def _cascade(recipe: Recipe, settled: Mapping[str, Settled], durations: Mapping[str, float]) -> CascadeAccount | None:
    if not recipe.cascade:
        return None
    duration = rejected = 0.0
    scored = dict.fromkeys(recipe.cascade, 0.0)
    for name, one in settled.items():
        if one.cascade:
            duration += durations[name]
            rejected += one.cascade[0]
            for detector, seconds in one.cascade[1].items():
                scored[detector] += seconds
    return CascadeAccount(duration, rejected, scored)
