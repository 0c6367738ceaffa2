"""Telephone formats without a header: read when the caller names them, and only then."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from curation.media import MediaError, audio_blocks


def test_g722(tmp_path: Path) -> None:
    path = tmp_path / "a.g722"
    tone = np.round(8000 * np.sin(2 * np.pi * 500 * np.arange(16_000) / 16_000)).astype(np.int16)
    with av.open(str(path), "w", format="g722") as file:
        stream = file.add_stream("g722", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.sample_rate = 16_000
        file.mux([*stream.encode(frame), *stream.encode(None)])
    [block] = audio_blocks(path, [16_000], 10, "g722")
    decoded = block.mono[16_000]
    assert len(decoded) == pytest.approx(16_000, abs=200)
    spectrum = np.abs(np.fft.rfft(decoded[2000:10_000]))
    assert spectrum.argmax() == 250  # bins of 2 Hz
    with pytest.raises(MediaError, match="not_media"):
        next(audio_blocks(path))
    with pytest.raises(ValueError, match="raw_format='wav'"):
        next(audio_blocks(path, raw_format="wav"))
