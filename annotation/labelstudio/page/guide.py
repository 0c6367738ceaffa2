"""The annotators' guide, shown by Label Studio before the first task and on demand."""

from __future__ import annotations

from html import escape

from manifests.labels import load_labels


def guide() -> str:
    """The guide as HTML, made from the vocabulary."""
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


_PAGE = """<h3>What we want</h3>
<p>Pure sound effects: no {unwanted}, however faint. Use headphones and hear every clip to its end.</p>
<h3>How to go about it</h3>
<ol>
<li>Press space to play. The spectrogram stays empty until you do; words and tunes show in it as stacked, bending
lines.</li>
<li>Mark every stretch of {unwanted} on the waveform: press the label's key, then drag. Regions that are there already
were drawn by a program: correct their ends, change their label or delete them. It misses things and imagines others.
Marking sound effects is welcome, not needed.</li>
<li>Give the verdict for the whole clip: <b>keep</b> (k) when it is pure, or would be once the marked stretches are cut
out; <b>reject</b> (r) when it is not; <b>unsure</b> (y) when you cannot tell after hearing it twice.</li>
<li>Rejected for {unwanted} alone, with every stretch of it marked, a clip is not lost: only what you marked is cut
out.</li>
<li>Where there is a picture, play the lower player, which has the file's own sound, and rate the sync: 5 every hit
falls on its frame; 4 a frame or two off; 3 visibly early or late; 2 the right kind of sound at the wrong times; 1 sound
and picture have nothing to do with each other. The upper player follows the waveform and may lag: do not judge sync
there.</li>
<li>The caption says what is heard, in order, in one or two plain sentences.</li>
</ol>
<h3>Labels</h3><ul>{labels}</ul>
<h3>What counts as what</h3><ul>{sounds}</ul>
<h3>Reasons</h3><ul>{reasons}</ul>
<h3>When it is hard</h3>
<p>Faint counts: a radio in the distance, a voice behind a wall, a tune from a passing car are marked like loud ones,
and called <i>barely audible</i>. Do not look up what others answered: two independent ears are worth more than two that
agree.</p>
"""
