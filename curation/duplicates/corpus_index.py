"""Finds the copies in a corpus: matches its fingerprints with each other, and decides which recording is kept.

The index is a fit in parts. A run adds one part, of the fingerprints that no part has yet, and writes their matches
beside it; earlier matches are not searched again. Parts are merged to keep their number small.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from manifests.fits import fit_fault, fit_folder, fit_items, fit_version, prune_fits, writing_fit
from manifests.healing import report_healed
from manifests.identity import digest
from manifests.parquet import first_line
from manifests.recipe import Duplicates
from manifests.records import Duplicate, Recording
from manifests.schema import CorpusError
from manifests.store import Corpus
from manifests.time import Timeline

from . import (
    Kind,
    Match,
    Rule,
    copied_time,
    duplicates,
    find_matches,
    merge_indexes,
    open_index,
    to_merge,
    version,
    write_index,
)
from .fingerprint import KINDS
from .fingerprint_store import fingerprint_items, load_fingerprint

logger = logging.getLogger(__name__)
COMPARE = "compare"
"""The stage of the drops of recordings that could not be compared."""


@dataclass(frozen=True)
class Copies:
    """Copies in a corpus.

    `rows`: the duplicates table. `cut_away`: the time that a kept recording contains, by recording. `problems`: the
    reasons of recordings that could not be compared with another one, by recording: no copy of them can be ruled out.
    """

    rows: tuple[Duplicate, ...] = ()
    cut_away: Mapping[str, Timeline] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def of(self) -> Mapping[str, Sequence[Duplicate]]:
        """The rows by recording."""
        rows: dict[str, list[Duplicate]] = {}
        for row in self.rows:
            rows.setdefault(row.recording_id, []).append(row)
        return rows

    def __or__(self, other: Copies) -> Copies:
        """The copies of both, found by different kinds of fingerprints."""
        both = {
            name: self.cut_away.get(name, Timeline()) | other.cut_away.get(name, Timeline())
            for name in (*self.cut_away, *other.cut_away)
        }
        return Copies((*self.rows, *other.rows), both, {**other.problems, **self.problems})


def find_copies(corpus: Corpus, recordings: Mapping[str, Recording], rule: Duplicates, kind: Kind) -> Copies:
    """The copies among `recordings`, by their fingerprints of one kind.

    New fingerprints are matched with all others and added to the index.
    """
    faults = PairFaults()
    durations = {key: row.duration or 0.0 for key, row in recordings.items()}
    found = (match for match in update_index(corpus, kind, recordings, faults) if recordings.keys() >= match.recordings)
    matches = [inside for match in found if (inside := _inside(match, durations))]
    limits = Rule(min_overlap=rule.min_overlap, min_share=rule.min_share)
    copies = duplicates(matches, durations, lambda key: _rank(recordings[key]), limits, faults)
    cut_away = copied_times(copies, matches) if getattr(rule, kind) == "cut" else {}
    problems = {
        max(pair): f"not compared with {recordings[min(pair)].uri}: {text}"
        for pair, text in sorted(faults.pairs.items(), reverse=True)
        if recordings.keys() >= set(pair)
    }
    return Copies(tuple(copies), cut_away, problems)


def _inside(match: Match, durations: Mapping[str, float]) -> Match | None:
    """The match within both recordings: a word covers a window, and decoders give more than packets promise."""
    start = max(match.start, 0.0, -match.offset)
    end = min(match.end, durations[match.recording_id], durations[match.other_id] - match.offset)
    return replace(match, start=start, end=end) if start < end else None


def known_copies(corpus: Corpus, rule: Duplicates, recording_ids: Collection[str]) -> Copies:
    """The copies among some recordings, from the last run over the whole corpus."""
    rows = list(corpus.rows(Duplicate, _of(recording_ids)))
    copies = Copies(tuple(rows))
    if not rows:
        return copies
    replaced = set(corpus.table("drops").to_arrow(["item"], pc.field("reason") == "replaced")["item"].to_pylist())
    for kind in KINDS:
        own = [row for row in rows if row.method == kind]
        if not own or getattr(rule, kind) != "cut":
            continue
        ids = {row.recording_id for row in own}
        matches = [
            match
            for match in _stored_matches(corpus, kind)
            if replaced.isdisjoint(match.recordings) and not ids.isdisjoint(match.recordings)
        ]
        others = {name for match in matches for name in match.recordings}
        known = [*own, *(row for row in corpus.rows(Duplicate, _of(others - ids)) if row.method == kind)]
        times = copied_times(known, matches)
        copies |= Copies(cut_away={name: times[name] for name in ids})
    return copies


def copied_times(rows: Iterable[Duplicate], matches: Iterable[Match]) -> dict[str, Timeline]:
    """The time of each copy that its kept recording contains, on whole milliseconds, as cuts are."""
    row_of = {row.recording_id: row for row in rows}
    near: dict[str, list[Match]] = {name: [] for name in row_of}
    for match in matches:
        for name in near.keys() & match.recordings:
            near[name].append(match)
    times = {}
    for name, own in near.items():
        others = {name, *(other for match in own for other in match.recordings)}
        rows_near = [row_of[other] for other in sorted(others & row_of.keys())]
        times[name] = copied_time(name, rows_near, own).to_ms()
    return times


def _of(recording_ids: Iterable[str]) -> pc.Expression:
    return pc.field("recording_id").isin(pa.array(recording_ids, pa.string()))


class PairFaults:
    """Collects the pairs of recordings that could not be compared: the error in a line, by (id, other id)."""

    def __init__(self) -> None:
        self.pairs: dict[tuple[str, str], str] = {}

    def __call__(self, one: str, other: str, error: Exception) -> None:
        """Add a pair, as an `OnFault`."""
        logger.error("%s and %s could not be compared", one, other, exc_info=error)
        self.pairs[one, other] = f"{type(error).__name__}: {first_line(error)}"


def _stored_matches(corpus: Corpus, kind: Kind) -> list[Match]:
    """The matches of the last run over the corpus. Raises CorpusError for a damaged or lost part of the index."""
    folders = [fit_folder(corpus, fit_name(kind), part) for part in corpus.fits.get(fit_name(kind), ())]
    for folder in folders:
        if (problem := _fault(folder)) is not None:
            raise CorpusError(f"{folder}: {problem}: lpse replay makes it again")
    return list(chain.from_iterable(_matches(folder) for folder in folders if fit_version(folder) == version(kind)))


def update_index(
    corpus: Corpus, kind: Kind, recordings: Iterable[str], faults: PairFaults | None = None
) -> list[Match]:
    """All matches among the corpus's fingerprints of one kind, after new ones are added to the index.

    A part of the index that is damaged or lost, or has words of another version, is ignored: its fingerprints are new
    again. Each pair that could not be compared, now or before, is added to `faults`; `lpse refit duplicates` tries it
    again.
    """
    name = fit_name(kind)
    parts = []
    for part in corpus.fits.get(name, ()):
        folder = fit_folder(corpus, name, part)
        if (problem := _fault(folder)) is not None:
            report_healed(folder, problem, "made again from the fingerprints")
        elif fit_version(folder) == version(kind):
            parts.append(part)
    known = set(chain.from_iterable(fit_items(fit_folder(corpus, name, part)) for part in parts))
    new = [item for item in fingerprint_items(corpus, kind, recordings) if item not in known]
    if new:
        found = PairFaults()
        hash = digest(name, version(kind), new, parts)
        with writing_fit(corpus, name, hash, items=new, made_of={"version": version(kind), "after": parts}) as folder:
            index = folder / "index"
            index.mkdir()
            write_index(index, (load_fingerprint(corpus, item) for item in new))
            indexes = [open_index(fit_folder(corpus, name, part) / "index") for part in parts]
            fingerprints = (load_fingerprint(corpus, item) for item in new)
            matches = find_matches(
                fingerprints,
                [*indexes, open_index(index)],
                lambda item: load_fingerprint(corpus, item),
                on_fault=found,
            )
            _write_matches(folder, matches)
            _write_faults(folder, found.pairs)
        parts.append(hash)
        parts = _merged(corpus, kind, parts)
        corpus.use_fits(name, parts)
        prune_fits(corpus, name)
    if faults is not None:
        faults.pairs |= _faults_of(fit_folder(corpus, name, part) for part in parts)
    return list(chain.from_iterable(_matches(fit_folder(corpus, name, part)) for part in parts))


def fit_name(kind: Kind) -> str:
    """The name of the index as a fit."""
    return f"duplicates_{kind}"


def _merged(corpus: Corpus, kind: Kind, parts: list[str]) -> list[str]:
    """The parts, after a merge of small ones if there are too many."""
    name = fit_name(kind)
    folders = [fit_folder(corpus, name, part) for part in parts]
    chosen = to_merge([len(open_index(folder / "index")) for folder in folders])
    if len(chosen) < 2:
        return parts
    sources = [folders[number] for number in chosen]
    items = sorted(chain.from_iterable(fit_items(folder) for folder in sources))
    hash = digest(name, version(kind), items, "merged", [parts[number] for number in chosen])
    with writing_fit(corpus, name, hash, items=items, made_of={"version": version(kind), "merged": True}) as folder:
        (folder / "index").mkdir()
        merge_indexes([source / "index" for source in sources], folder / "index")
        _write_matches(folder, chain.from_iterable(_matches(source) for source in sources))
        _write_faults(folder, _faults_of(sources))
    return [part for number, part in enumerate(parts) if number not in chosen] + [hash]


def _write_matches(folder: Path, matches: Iterable[Match]) -> None:
    rows = [asdict(match) for match in sorted(matches)]
    (folder / "matches.json").write_text(json.dumps(rows, indent=0) + "\n", encoding="utf-8")


def _matches(folder: Path) -> list[Match]:
    return [Match(**row) for row in json.loads((folder / "matches.json").read_text(encoding="utf-8"))]


def _write_faults(folder: Path, pairs: Mapping[tuple[str, str], str]) -> None:
    if pairs:
        rows = sorted([*pair, text] for pair, text in pairs.items())
        (folder / "faults.json").write_text(json.dumps(rows, indent=0) + "\n", encoding="utf-8")


def _faults_of(folders: Iterable[Path]) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for path in (folder / "faults.json" for folder in folders):
        if path.exists():
            found |= {(one, other): text for one, other, text in json.loads(path.read_text(encoding="utf-8"))}
    return found


def _fault(folder: Path) -> str | None:
    """The reason why a part of the index cannot be used, None for a sound one."""
    if (problem := fit_fault(folder)) is not None:
        return problem
    try:
        open_index(folder / "index")
        _matches(folder)
        _faults_of([folder])
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        return first_line(error)
    return None


def _rank(row: Recording) -> tuple[object, ...]:
    """Rank of copies that contain each other, smallest first: undamaged, larger frame, higher bit rate, longer."""
    bits = (row.bytes or 0) / max(row.duration or 0.0, 1e-3)
    return (
        row.status != "ok",
        not row.has_video,
        -(row.width or 0) * (row.height or 0),
        -bits,
        -(row.duration or 0.0),
        row.recording_id,
    )
