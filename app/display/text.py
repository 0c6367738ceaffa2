"""Text for people: times, shares and names, written the same in terminal, report and review."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

from manifests.records import AudioTrack, Recording, Source
from manifests.uris import display_path

OUTCOME_NAMES: Mapping[str, str] = {
    "accept": "accepted",
    "review": "for review",
    "reject": "rejected",
    "duplicate": "duplicate",
    "too_short": "too short, or beside an event",
    "undecided": "not decided on",
}
"""Names of the categories of `curation.catalog.accounting.OUTCOMES` that are not plain words themselves."""
VERDICT_NAMES: Mapping[str, str] = {
    "keep": "kept",
    "reject": "rejected",
    "unsure": "sent for review",
    "open": "without a decision",
}
# A line break in a name must show, a direction mark must not act: both are written as their escape.
_UNSEEN = (
    *range(0x20),
    *range(0x7F, 0xA0),
    0x200E,
    0x200F,
    *range(0x2028, 0x202F),
    *range(0x2066, 0x206A),
    0xFEFF,
)
_ESCAPES = {code: ascii(chr(code))[1:-1] for code in _UNSEEN}


def clock(seconds: float) -> str:
    """m:ss, or h:mm:ss from an hour on; whole seconds. For a time in a recording and the length of a cut."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def long_clock(seconds: float) -> str:
    """h:mm:ss always, for totals and columns of a table."""
    whole = round(seconds)
    return f"{whole // 3600:,}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def clock_range(start: float, end: float) -> str:
    """A span of a recording: "0:05–1:10"."""
    return f"{clock(start)}–{clock(end)}"


def percent(part: float, whole: float) -> str:
    """A share in whole per cent; a share above 0 is never written 0 %, one below 1 never 100 %."""
    if not whole or not part:
        return "0 %"
    share = 100 * part / whole
    if share < 1:
        return "<1 %"
    # sums of seconds carry noise: that alone is nothing missing
    return ">99 %" if 99 < share < 100 - 1e-6 else f"{share:.0f} %"


def plural(count: int, word: str) -> str:
    """ "1 cut", "1,234 cuts"."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def plain(code: str) -> str:
    """A reason or a method as words."""
    return code.replace("_", " ")


def outcome_name(outcome: str) -> str:
    """The name of a category of time, or of the decision over a cut."""
    return OUTCOME_NAMES.get(outcome, plain(outcome))


def outcome_title(outcome: str) -> str:
    """The name of a category of time at the beginning of a line."""
    return outcome_name(outcome).capitalize()


def verdict_name(decision: str) -> str:
    """The name of the decision of a person."""
    return VERDICT_NAMES.get(decision, plain(decision))


def tracks_text(tracks: Sequence[AudioTrack]) -> str:
    """The tracks of a file with several, the chosen ones first: "track 2 of 2; not read: 1 (comment, eng)"."""
    if len(tracks) < 2:
        return ""
    numbers = {track.index: number for number, track in enumerate(tracks, 1)}
    chosen = [str(numbers[track.index]) for track in tracks if track.chosen]
    read = f"{'track' if len(chosen) == 1 else 'tracks'} {' + '.join(chosen)} of {len(tracks)}"
    others = [f"{numbers[track.index]} ({_about_track(track)})" for track in tracks if not track.chosen]
    return "; not read: ".join(filter(None, [read, ", ".join(others)]))


def _about_track(track: AudioTrack) -> str:
    kind = plain(track.role) or ("silent" if track.silent else plural(track.channels, "channel"))
    return ", ".join(filter(None, [kind, track.language, track.title]))


def megabytes(size: int) -> str:
    """A number of bytes in MB, or GB from 1 GB on."""
    return f"{size / 1e9:,.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def visible(text: str) -> str:
    """The text with every control character written as its escape."""
    return text.translate(_ESCAPES)


def file_name(uri: str) -> str:
    """The last part of a URI."""
    return PurePath(display_path(uri)).name or uri


def recording_title(recording: Recording, sources: Iterable[Source]) -> str:
    """The title under which a recording was published; the file's name for a local file."""
    named = (source.title for source in sources if source.title and source.origin != "folder")
    return visible(next(named, None) or file_name(recording.uri))
