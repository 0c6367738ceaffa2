"""The annotators' guide, shown by Label Studio before the first task and on demand."""

from __future__ import annotations

from html import escape

from manifests.labels import load_labels


def guide() -> str:
    """The guide as HTML, generated from the vocabulary."""
    vocabulary = load_labels()
    labels = "".join(
        f"<li><b>{escape(label.name)}</b> (key {escape(label.hotkey)}): {escape(label.description)}.</li>"
        for label in vocabulary
    )
    sounds = "".join(
        f"<li><b>{escape(one.sound.replace('_', ' '))}</b> is <b>{escape(one.label)}</b>: {escape(one.reason)}.</li>"
        for one in vocabulary.counts_as.values()
    )
    reasons = "".join(
        f"<li><b>{escape(reason.name)}</b>: {escape(reason.description)}.</li>"
        for reason in vocabulary.reasons.values()
    )
    unwanted = " or ".join(vocabulary.contaminants)
    return _PAGE.format(unwanted=escape(unwanted), labels=labels, sounds=sounds, reasons=reasons)


_PAGE = """<h3>Goal</h3>
<p>Pure sound effects: no {unwanted}, however faint. Use headphones and listen to every clip to its end.</p>
<h3>Steps</h3>
<ol>
<li>Press space to play. The spectrogram is empty before that; speech and melodies appear in it as stacked, bending
lines.</li>
<li>Mark every segment with {unwanted} on the waveform: press the label's key, then drag. Existing regions were drawn by
a program, which misses some sounds and marks others by mistake: correct their ends, change their label or delete them.
Marking sound effects is optional.</li>
<li>Give the verdict for the whole clip: <b>keep</b> (k) if it is pure, or will be once the marked segments are cut
out; <b>reject</b> (r) if it is not; <b>unsure</b> (y) if you cannot decide after listening twice.</li>
<li>If you reject a clip for {unwanted} alone and mark every segment of it, only the marked segments are cut out. The
rest is kept.</li>
<li>If the clip has video, play the lower player, which has the file's own audio, and rate the sync: 5 every hit is on
its frame; 4 one or two frames off; 3 visibly early or late; 2 the right kind of sound at the wrong times; 1 audio and
video are unrelated. The upper player follows the waveform and may lag: do not judge sync there.</li>
<li>Write the caption: the sounds you hear, in order, in one or two plain sentences.</li>
</ol>
<h3>Labels</h3><ul>{labels}</ul>
<h3>Special cases</h3><ul>{sounds}</ul>
<h3>Reasons</h3><ul>{reasons}</ul>
<h3>Difficult clips</h3>
<p>Faint sounds count: mark a distant radio, a voice behind a wall or music from a passing car like a loud one, and set
<i>barely audible</i>. Do not look up the answers of others: two independent answers are worth more than two that
agree.</p>
"""
