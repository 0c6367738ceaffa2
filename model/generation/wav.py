"""The sound as a file of its own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from manifests.files import write_beside

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BYTES_A_SAMPLE = 3  # 24 bits: the steps lie 144 dB below full scale, under what a quiet join can show
LONGEST_RIFF = (1 << 32) - (1 << 12)  # bytes of samples, with room for the header


def write_wav(path: Path, sound: Iterable[NDArray[np.float32]], sample_rate: int, samples: int) -> None:
    """Write `samples` of mono sound, which comes in pieces (n,), as 24-bit PCM; what exceeds ±1 is clipped.

    RIFF holds 4 GB; what is longer becomes RF64 (EBU Tech 3306), which players know under the same suffix. The file
    appears when it is complete. Raises ValueError where there is more or less sound than `samples`.
    """
    import soundfile

    kind = wav_kind(samples)
    with write_beside(path) as file:
        with soundfile.SoundFile(file, "w", sample_rate, 1, "PCM_24", format=kind) as wav:
            written = 0
            for piece in sound:
                wav.write(piece)
                written += len(piece)
        if written != samples:
            raise ValueError(f"{path}: {written} samples of sound, should be {samples}")


def wav_kind(samples: int) -> str:
    """libsndfile's name of the container for so much sound."""
    return "WAV" if samples * BYTES_A_SAMPLE <= LONGEST_RIFF else "RF64"
