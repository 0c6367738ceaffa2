"""The labelling page in Label Studio's markup.

Audio and video play in a sync group, in which the waveform plays the audio and may drift from the video by half a
second on a busy machine: sync is therefore rated on a second player, which plays the file's own audio.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree as ET

from manifests.labels import load_labels

JUDGEMENTS = {"keep": "k", "reject": "r", "unsure": "y"}  # and their hotkeys
PRESENCE = ("foreground", "background", "barely_audible")
# control -> its media control; the parser of answers relies on these names
CONTROLS = {
    "verdict": "audio",
    "reasons": "audio",
    "caption": "audio",
    "event": "audio",
    "presence": "audio",
    "event_desc": "audio",
    "av_sync": "video_native",
}
_STYLE = """
.lpse-row { display: flex; gap: 16px; align-items: flex-start; }
.lpse-media { flex: 0 0 54%; min-width: 0; }
.lpse-form { flex: 1 1 0; min-width: 0; }
.lpse-votes { padding: 8px 12px; border-left: 4px solid #E69F00; white-space: pre-line; }
"""


@dataclass(frozen=True, order=True)
class Variant:
    """Variant of the page: with video or for audio alone; `votes`: shows the annotators' answers to an adjudicator."""

    picture: bool
    votes: bool = False


def labelling_page(variant: Variant) -> str:
    """The page as XML. Tasks provide `audio`, with video also `video` and `fps`, for an adjudicator `votes`."""
    view = ET.Element("View")
    ET.SubElement(view, "Style").text = _STYLE
    if variant.votes:
        box = ET.SubElement(view, "View", className="lpse-votes")
        ET.SubElement(box, "Text", name="votes", value="$votes")
    if variant.picture:
        row = ET.SubElement(view, "View", className="lpse-row")
        media = ET.SubElement(row, "View", className="lpse-media")
        ET.SubElement(
            media, "Video", name="video", value="$video", sync="av", frameRate="$fps", height="260",
            timelineHeight="24", muted="true",
        )  # fmt: skip
        _form(ET.SubElement(row, "View", className="lpse-form"), variant)
        _events(view)
        _sync(view)
    else:
        _events(view)
        _form(view, variant)
    ET.indent(view)
    return ET.tostring(view, encoding="unicode")


def _form(parent: ET.Element, variant: Variant) -> None:
    """The questions about the whole clip."""
    ET.SubElement(parent, "Header", value="Whole-clip verdict", size="5")
    verdict = ET.SubElement(
        parent, "Choices", name="verdict", toName="audio", choice="single-radio", showInline="true",
        required="true", requiredMessage="Pick keep, reject or unsure",
    )  # fmt: skip
    for value, key in JUDGEMENTS.items():
        ET.SubElement(verdict, "Choice", value=value, hotkey=key)
    shown = ET.SubElement(
        parent, "View", visibleWhen="choice-selected", whenTagName="verdict", whenChoiceValue="reject,unsure"
    )
    reasons = ET.SubElement(
        shown, "Choices", name="reasons", toName="audio", choice="multiple", showInline="true", required="true",
        requiredMessage="Give at least one reason",
    )  # fmt: skip
    for reason in load_labels().reasons.values():
        if variant.picture or not reason.picture:
            ET.SubElement(reasons, "Choice", value=reason.name, hint=reason.description)
    ET.SubElement(parent, "Header", value="Caption: the sounds you hear, in order", size="5")
    _text(parent, "caption", rows=2, placeholder="rain on a tin roof, then a heavy door slams")


def _events(parent: ET.Element) -> None:
    """The waveform and its regions."""
    labels = ET.SubElement(parent, "Labels", name="event", toName="audio", choice="single", showInline="true")
    for label in load_labels():
        ET.SubElement(
            labels, "Label", value=label.name, background=label.colour, hotkey=label.hotkey, hint=label.description
        )
    ET.SubElement(
        parent, "Audio", name="audio", value="$audio", sync="av", hotkey="space", height="120", spectrogram="true"
    )
    region = ET.SubElement(parent, "View", visibleWhen="region-selected", whenTagName="event")
    ET.SubElement(region, "Header", value="Selected region", size="5")
    presence = ET.SubElement(
        region, "Choices", name="presence", toName="audio", perRegion="true", choice="single-radio", showInline="true"
    )
    for value in PRESENCE:
        ET.SubElement(presence, "Choice", value=value)
    _text(region, "event_desc", rows=1, placeholder="sound source, e.g. glass breaking", perRegion="true")


def _sync(parent: ET.Element) -> None:
    """The second player, which is in no sync group, and its rating."""
    row = ET.SubElement(parent, "View", className="lpse-row")
    media = ET.SubElement(row, "View", className="lpse-media")
    ET.SubElement(
        media, "Video", name="video_native", value="$video", frameRate="$fps", height="200", timelineHeight="24"
    )
    form = ET.SubElement(row, "View", className="lpse-form")
    ET.SubElement(
        form, "Header", size="5",
        value="Sync: play the player on the left (the file's own audio), then rate 1 unrelated … 5 exact to the frame",
    )  # fmt: skip
    ET.SubElement(
        form, "Rating", name="av_sync", toName="video_native", maxRating="5", required="true",
        requiredMessage="Rate the sync of audio and video",
    )  # fmt: skip


def _text(parent: ET.Element, name: str, *, rows: int, placeholder: str, **more: str) -> None:
    text = ET.SubElement(
        parent, "TextArea", name=name, toName="audio", rows=str(rows), maxSubmissions="1", editable="true",
        showSubmitButton="false", placeholder=placeholder,
    )  # fmt: skip
    text.attrib.update(more)
