"""Write audio as a .wav file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from manifests.files import remove_stale, write_beside

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BYTES_PER_SAMPLE = 3  # 24 bits: the steps lie 144 dB below full scale, below anything audible at a quiet join
LONGEST_RIFF = (1 << 32) - (1 << 12)  # bytes of samples, with room for the header


def write_wav(path: Path, audio: Iterable[NDArray[np.float32]], sample_rate: int, samples: int) -> None:
    """Write `samples` of mono audio, given in pieces (n,), as 24-bit PCM; values beyond ±1 are clipped.

    RIFF is limited to 4 GB; longer audio becomes RF64 (EBU Tech 3306), which players read under the same suffix. The
    file appears when it is complete. Raises ValueError if the number of samples differs.
    """
    import soundfile

    kind = wav_kind(samples)
    remove_stale(path)
    with write_beside(path) as file:
        with soundfile.SoundFile(file, "w", sample_rate, 1, "PCM_24", format=kind) as wav:
            written = 0
            for piece in audio:
                wav.write(piece)
                written += len(piece)
        if written != samples:
            raise ValueError(f"{path}: {written} samples of audio, should be {samples}")


def wav_kind(samples: int) -> str:
    """libsndfile's name of the container for `samples` samples."""
    return "WAV" if samples * BYTES_PER_SAMPLE <= LONGEST_RIFF else "RF64"
