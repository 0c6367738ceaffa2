"""The data of the report, gathered from the corpus: everything but previews and stills."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from curation.catalog.accounting import CorpusAccount, read_account
from curation.detectors import ModelSetup, ModelUnavailable, spec
from curation.detectors.score_store import setup_of
from manifests.recipe import Recipe, RecipeError
from manifests.records import Cut, Drop, Event, Recording, Source
from manifests.schema import CorpusError
from manifests.store import Corpus
from manifests.uris import display_path

from ..display.histograms import Bars, cut_bars, quality_bars
from ..display.text import file_name, plain
from .recording import RecordingView, view_recording

LISTED_DROPS = 1_000


@dataclass(frozen=True)
class Dropped:
    """A dropped input."""

    name: str
    place: str
    kind: str
    reason: str
    detail: str
    seconds: float | None
    recording_id: str | None


@dataclass(frozen=True)
class View:
    """The page without previews and stills. `shown`: some of the `decided` recordings, in order of priority."""

    name: str
    recipe: Recipe
    recipe_hash: str
    detectors: Sequence[tuple[str, str]]
    account: CorpusAccount
    shown: Sequence[RecordingView]
    decided: int
    dropped: Sequence[Dropped]
    dropped_inputs: int
    histograms: Sequence[Bars]
    quality: Sequence[Bars]


def gather(corpus: Corpus, max_recordings: int) -> View:
    """The view of a corpus. Raises CorpusError before the first curation."""
    if corpus.recipe is None:
        raise CorpusError(f"{corpus.path}: the corpus has no decisions yet: run lpse curate first")
    try:
        recipe = corpus.active_recipe()
    except RecipeError as error:  # recipes gain keys from version to version
        raise CorpusError(
            f"{corpus.path}: another version of lpse decided here: run lpse replay first ({error})"
        ) from error
    setup = setup_of(corpus, recipe)
    recordings = list(corpus.rows(Recording))
    sources = list(corpus.rows(Source))
    cuts = list(corpus.rows(Cut))
    drops = list(corpus.rows(Drop))
    account = read_account(corpus)

    cuts_of: dict[str, list[Cut]] = defaultdict(list)
    for cut in sorted(cuts, key=lambda cut: cut.start):
        cuts_of[cut.recording_id].append(cut)
    decided = [r for r in recordings if r.duration and not account.by_recording[r.recording_id]["undecided"]]
    chosen = _by_priority(decided, account, cuts_of)[:max_recordings]
    known = {recording.recording_id for recording in chosen}
    events_of: dict[str, list[Event]] = defaultdict(list)
    for event in corpus.rows(Event):
        if event.recording_id in known:
            events_of[event.recording_id].append(event)
    drops_of: dict[str, list[Drop]] = defaultdict(list)
    for drop in drops:
        drops_of[drop.item].append(drop)
    sources_of: dict[str, list[Source]] = defaultdict(list)
    for source in sources:
        if source.recording_id is not None:
            sources_of[source.recording_id].append(source)
    shown = [
        view_recording(
            corpus,
            recipe,
            setup,
            recording,
            sources=sources_of[recording.recording_id],
            outcomes=account.by_recording[recording.recording_id],
            cuts=cuts_of[recording.recording_id],
            events=events_of[recording.recording_id],
            drops=drops_of[recording.recording_id],
        )
        for recording in chosen
    ]
    inputs = [drop for drop in drops if drop.item_kind != "cut"]
    return View(
        name=corpus.path.name,
        recipe=recipe,
        recipe_hash=corpus.recipe_hash or recipe.hash,
        detectors=[(name, _version(name, setup)) for name in recipe.all_detectors],
        account=account,
        shown=shown,
        decided=len(decided),
        dropped=_dropped(inputs, recordings, sources, known)[:LISTED_DROPS],
        dropped_inputs=len(inputs),
        histograms=cut_bars(cuts, recipe),
        quality=quality_bars(cuts, recordings, recipe),
    )


def _by_priority(
    recordings: Iterable[Recording], account: CorpusAccount, cuts_of: Mapping[str, Sequence[Cut]]
) -> list[Recording]:
    """In turn: the most time for review, the riskiest accepted cut, the longest without a cut."""
    review, accepted, nothing = [], [], []
    for recording in sorted(recordings, key=lambda r: (r.uri, r.recording_id)):
        outcomes = account.by_recording[recording.recording_id]
        if outcomes["review"]:
            review.append((-outcomes["review"], recording))
        elif outcomes["accept"]:
            accepted.append((-max(cut.risk for cut in cuts_of[recording.recording_id]), recording))
        else:
            nothing.append((-(recording.duration or 0.0), recording))
    tiers = [[r for _, r in sorted(tier, key=lambda pair: pair[0])] for tier in (review, accepted, nothing)]
    return [r for r in chain.from_iterable(zip_longest(*tiers)) if r is not None]


def _dropped(
    drops: Iterable[Drop], recordings: Iterable[Recording], sources: Iterable[Source], shown: set[str]
) -> list[Dropped]:
    by_recording = {recording.recording_id: recording for recording in recordings}
    by_source = {source.source_id: source for source in sources}
    rows = []
    for drop in drops:
        recording = by_recording.get(drop.item) if drop.item_kind == "recording" else None
        source = by_source.get(drop.item) if drop.item_kind == "source" else None
        uri = recording.uri if recording else source.uri if source else drop.item
        rows.append(
            Dropped(
                name=file_name(uri),
                place=display_path(uri),
                kind=drop.item_kind,
                reason=plain(drop.reason),
                detail=drop.detail or "",
                seconds=recording.duration if recording else None,
                recording_id=drop.item if drop.item in shown else None,
            )
        )
    return sorted(rows, key=lambda row: (row.place, row.reason))


def _version(detector: str, setup: ModelSetup) -> str:
    try:
        return spec(detector, setup).version
    except ModelUnavailable:
        return "not installed"
