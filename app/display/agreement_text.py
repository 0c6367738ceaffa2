"""Text about the agreement of annotators, for report, review and terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from annotation.agreement import Agreement, Figure
from annotation.agreement.figures import About, Group, Measure
from manifests.labels import load_labels

from .text import clock, percent, plain, plural

# K. Krippendorff, "Content Analysis" (2004), section 11.4.2: conclusions that an alpha allows
TENTATIVE, RELIABLE = 0.667, 0.8
GROUPS: Mapping[Group, str] = {"blind": "without pre-labels", "prelabelled": "with pre-labels"}
COEFFICIENTS: tuple[Measure, ...] = ("alpha", "ac1", "observed")
REGION_MEASURES: Mapping[Measure, str] = {
    "iou": "IoU, all seconds",
    "iou_mean": "IoU, mean window",
    "segment_f1": "F1, 1 s segments",
    "event_f1": "F1, events ±200 ms",
}
_NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def headline(agreement: Agreement) -> str:
    """The number of annotators and tasks, and the agreement on the verdict."""
    people, tasks = agreement.count("annotators"), agreement.count("tasks")
    work = f"{numeral(people)} {'annotator' if people == 1 else 'annotators'} annotated {plural(tasks, 'task')}"
    if not people:
        return "No annotation counts: all of them were skipped, deleted, or edited by others."
    group = group_name(agreement)
    if group is None:
        return f"{work}. No task has two annotators: agreement cannot be measured."
    shared = agreement.count("shared", group)
    shown = f"{plural(shared, 'task')} with two or more annotators, {GROUPS[group]}"
    alpha = agreement.find("alpha", "verdict", group=group)
    if alpha is None or alpha.value is None:
        reason = alpha.note if alpha else "there are no verdicts"
        return f"{work}. Alpha of the verdict is unknown on {shown}: {reason}."
    return f"{work}. Alpha of the verdict is {with_interval(alpha)} on {shown}: {band(alpha.value)}."


def sentences(agreement: Agreement) -> Iterator[str]:
    """Conditions under which the figures hold."""
    blind, shown = (agreement.find("alpha", "verdict", group=group) for group in GROUPS)
    if group_name(agreement) == "prelabelled":
        yield (
            "No task without pre-labels has two annotators. These figures include agreement with the pre-labels of the "
            "detectors."
        )
    elif blind and shown and blind.value is not None and shown.value is not None:
        yield (
            f"On the {plural(agreement.count('shared', 'prelabelled'), 'task')} with pre-labels, alpha is "
            f"{with_interval(shown)}. It includes agreement with the pre-labels of the detectors."
        )
    edited = sum(1 for _ in agreement.select("edited_by_other"))
    if edited:
        yield f"{plural(edited, 'annotation')} edited by others {_is(edited)} excluded."
    unplanned = agreement.count("unplanned")
    if unplanned:
        yield f"{plural(unplanned, 'annotation')} of tasks that are not in this corpus {_is(unplanned)} excluded."


def topics(agreement: Agreement, group: Group) -> Iterator[tuple[str, str | None, dict[Measure, Figure | None]]]:
    """The questions: name, the label that gives the colour, and COEFFICIENTS of each."""

    def found(about: About, name: str | None = None) -> dict[Measure, Figure | None]:
        return {measure: agreement.find(measure, about, name, group=group) for measure in COEFFICIENTS}

    yield "verdict", None, found("verdict")
    yield "sync of audio and video", None, found("av_sync")
    vocabulary = load_labels()
    place = {reason: index for index, reason in enumerate(vocabulary.reasons)}
    reasons = [figure.name or "" for figure in agreement.select("alpha", "reason", group=group)]
    for reason in sorted(reasons, key=lambda reason: (place.get(reason, len(place)), reason)):
        yield plain(reason), reason if reason in vocabulary.names else None, found("reason", reason)


def band(alpha: float) -> str:
    """The reliability of data with this alpha, by Krippendorff."""
    if alpha >= RELIABLE:
        return "reliable"
    return "tentative" if alpha >= TENTATIVE else "too low to rely on"


def number(value: Figure | float | None) -> str:
    """Two decimals, "–" if missing; a value below 1 is never rounded to 1."""
    known = value.value if isinstance(value, Figure) else value
    if known is None:
        return "–"
    return f"{known if known == 1 else min(known, 0.99):.2f}".replace("-0.00", "0.00").replace("-", "−")


def interval(figure: Figure | None) -> str:
    """ "0.52 to 0.85"; empty if missing."""
    if figure is None or figure.low is None or figure.high is None:
        return ""
    return f"{number(figure.low)} to {number(figure.high)}"


def with_interval(figure: Figure | None) -> str:
    """ "0.71 (0.52 to 0.85)"."""
    return f"{number(figure)} ({interval(figure)})" if interval(figure) else number(figure)


def numeral(count: int) -> str:
    """ "Three", "1,234"."""
    return _NUMBERS[count].capitalize() if count < len(_NUMBERS) else f"{count:,}"


def minutes(figure: Figure | None) -> str:
    """A time in minutes and seconds, "–" if missing."""
    return "–" if figure is None or figure.value is None else clock(figure.value)


def quartiles(figure: Figure | None) -> str:
    """A median time and its quartiles: "3:05 (2:10 to 4:00)", in minutes and seconds."""
    if figure is None or figure.value is None or figure.low is None or figure.high is None:
        return minutes(figure)
    return f"{clock(figure.value)} ({clock(figure.low)} to {clock(figure.high)})"


def listed(words: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def share_text(figure: Figure | None) -> str:
    """A share in whole per cent, "–" if missing."""
    return "–" if figure is None or figure.value is None else percent(figure.value, 1)


def group_name(agreement: Agreement) -> Group | None:
    """The group of the headline: blind if it has tasks."""
    return next((group for group in GROUPS if agreement.count("shared", group)), None)


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
