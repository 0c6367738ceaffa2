"""`lpse train-purity` and `lpse bench purity`: a small run to its end, and options that cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from app.cli import cli
from curation.purity.sources.pool import RATE, SPLITS, Kind, PoolWriter, Source

SETTINGS = """
batch = 1
frames = 32
start = "random"
rounds = 1
validation_pure = 2
validation_each = 1
[sizes]
body = 0.25
fine = [4, 4, 8, 8, 8, 8]
joined = 32
fast = 16
"""


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    kinds: tuple[Kind, ...] = ("speech", "music", "effects")
    for split in SPLITS:
        writer = PoolWriter(tmp_path / "pool", split)
        for kind in kinds:
            sound = (rng.standard_normal(3 * RATE) * 5000).astype(np.int16)
            writer.add(Source(split, "1", kind, f"{split}{kind}", "CC0-1.0", kind, kind, kind, split, 3.0), sound)
        writer.close()
    return tmp_path / "pool"


def ran(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(cli, [str(word) for word in words])
    return done.exit_code, " ".join(done.output.split())


def test_a_run_ends_with_a_network_that_the_detector_reads(pool: Path, tmp_path: Path) -> None:
    from curation.backends.weights import ModelSetup
    from curation.detectors import open_detector

    settings = tmp_path / "settings.toml"
    settings.write_text(SETTINGS)
    out = tmp_path / "run"
    code, output = ran("train-purity", "--pool", pool, "--out", out, "--settings", settings, "--steps", 2,
                       "--workers", 0, "--device", "cpu", "--no-fit")  # fmt: skip
    assert code == 0, output
    assert "Best by validation: step 2" in output and "purity.onnx" in output
    open_detector("purity", ModelSetup(weights=(("purity", str(out / "purity.onnx")),)))
    card = (out / "card.md").read_text()
    assert "| effects | train | 1 | 0.00 | 1 |" in card and "| CC0-1.0 | 0.00 |" in card
    assert "(curve.png)" in card and (out / "curve.png").stat().st_size > 1000
    # the exported file has all that another run needs to begin
    code, output = ran("train-purity", "--pool", pool, "--out", tmp_path / "more", "--settings", settings, "--steps", 1,
                       "--workers", 0, "--device", "cpu", "--no-fit", "--start", out / "purity.onnx")  # fmt: skip
    assert code == 0 and "Best by validation: step 1" in output, output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train-purity", "--pool", "POOL"), "name the run's folder with --out"),
        (("train-purity", "--pool", "POOL", "--out", "OUT", "--source", "a=b"), "belong to --gather"),
        (("train-purity", "--pool", "POOL", "--gather", "--source", "a"), "not of the form NAME=DIR"),
        (("train-purity", "--pool", "NONE", "--out", "OUT", "--start", "x.pt"), "x.pt: holds no purity network"),
        (("train-purity", "--pool", "NONE", "--out", "OUT", "--start", "x.onnx"), "x.onnx: not a readable ONNX file"),
        (("bench", "purity", "--pool", "NONE", "--only", "recall"), "no pool of sources; make one with"),
    ],
)
def test_what_cannot_be_done_is_one_line(words: tuple[str, ...], message: str, pool: Path, tmp_path: Path) -> None:
    places = {"POOL": pool, "NONE": tmp_path / "none", "OUT": tmp_path / "run"}
    code, output = ran(*(places.get(word, word) for word in words))
    assert code == 2 and message in output, output
