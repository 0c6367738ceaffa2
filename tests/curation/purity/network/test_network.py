"""The network: YAMNet's own numbers, shapes, context, and an export that computes the same."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from curation.detectors.purity.detector import CONTEXT
from curation.detectors.purity.frontend import BANDS, FINE_BINS, HOP, MEL_FRAMES, RATE, features, frame_count
from curation.detectors.yamnet import log_mel
from curation.purity.network.export import NotExportedError, read_onnx, to_onnx, write_onnx
from curation.purity.network.network import LABELS, PurityNetwork, Sizes, without_floor
from curation.purity.network.tensor_bundle import BundleError, read_bundle

SMALL = Sizes(body=0.25, fine=(4, 4, 8, 8, 8, 8), joined=32, fast=16)


def small(seed: int = 0) -> PurityNetwork:
    torch.manual_seed(seed)
    return PurityNetwork(SMALL).eval()


def inputs(frames: int, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    mel = rng.standard_normal((1, frames * MEL_FRAMES, BANDS)).astype(np.float32)
    fine = (rng.standard_normal((1, frames, FINE_BINS)) * 10 - 60).astype(np.float32)
    return torch.from_numpy(mel), torch.from_numpy(fine)


def test_the_full_network_is_small_enough() -> None:
    assert PurityNetwork().parameter_count() <= 5_000_000


def test_frames_bands_and_tones() -> None:
    time = np.arange(3 * RATE) / RATE
    mel, fine = features((0.5 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32))
    frames = frame_count(len(time))
    assert mel.shape == (frames * MEL_FRAMES, BANDS) and fine.shape == (frames, FINE_BINS)
    assert frames % 4 == 0 and frames * HOP >= len(time)
    assert int(fine[10].argmax()) == 255  # bin 256 of 3.9 Hz, the constant left out
    assert fine[10].max() == pytest.approx(20 * np.log10(0.5 / 2), abs=0.1)
    known = log_mel((0.5 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32))
    np.testing.assert_allclose(mel[: len(known)], known, atol=2e-3)  # near log(0.001) rounding is magnified


def test_outputs_every_80_ms_and_mostly_pure_at_first() -> None:
    out = small()(*inputs(12))
    assert out.log_odds.shape == out.levels.shape == (1, 12, len(LABELS))
    assert float(torch.sigmoid(out.log_odds).detach().mean()) < 0.4


def test_an_output_depends_on_no_more_than_its_context() -> None:
    network = small()
    frames = 2 * CONTEXT + 8
    mel, fine = inputs(frames)
    with torch.no_grad():
        before = network(mel, fine).log_odds[0]
        mel[:, : 4 * MEL_FRAMES] += 3.0
        fine[:, :4] += 20.0
        after = network(mel, fine).log_odds[0]
    changed = (before - after).abs().amax(1).numpy() > 1e-5
    assert changed[:8].any()
    assert not changed[4 + CONTEXT :].any()


def test_steady_partials_stand_out_and_a_tilt_does_not() -> None:
    level = torch.linspace(-40, -80, FINE_BINS).repeat(1, 30, 1)
    level[:, :, 300] += 20
    near, lasting = without_floor(level)[0]
    assert float(near[15, 300]) > 1.5 and float(near[15, 100:250].abs().max()) < 0.2
    assert float(lasting.abs().max()) < 1e-4  # nothing changes over time


def test_the_export_computes_the_same_in_any_length() -> None:
    import onnxruntime

    network = small()
    session = onnxruntime.InferenceSession(to_onnx(network, {"licence": "Apache-2.0"}))
    assert session.get_modelmeta().custom_metadata_map == {"licence": "Apache-2.0"}
    for frames in (8, 52):
        mel, fine = inputs(frames, frames)
        probability, level = session.run(None, {"mel": mel.numpy(), "fine": fine.numpy()})
        with torch.no_grad():
            out = network(mel, fine)
        np.testing.assert_allclose(probability, torch.sigmoid(out.log_odds).numpy(), atol=2e-3)
        np.testing.assert_allclose(level, out.levels.numpy() * 10, atol=0.05)


def test_the_export_gives_its_network_back(tmp_path: Path) -> None:
    network, other = small(), small(1)
    write_onnx(network, tmp_path / "purity.onnx", {})
    other.load_state_dict(read_onnx(tmp_path / "purity.onnx"))
    with torch.no_grad():
        expected, found = network(*inputs(12)), other(*inputs(12))
    torch.testing.assert_close(found.log_odds, expected.log_odds, atol=1e-2, rtol=0)
    (tmp_path / "other.onnx").write_bytes(b"\x08\x08")
    with pytest.raises(NotExportedError, match=r"other\.onnx: "):
        read_onnx(tmp_path / "other.onnx")


def test_a_tensor_bundle_is_read(tmp_path: Path) -> None:
    values = np.arange(6, dtype="<f4").reshape(2, 3)
    write_bundle(tmp_path / "variables", {"a/kernel": values, "a/kernel/more": values[0]})
    read = read_bundle(tmp_path / "variables")
    assert set(read) == {"a/kernel", "a/kernel/more"}
    np.testing.assert_array_equal(read["a/kernel"], values)
    np.testing.assert_array_equal(read["a/kernel/more"], values[0])


@pytest.mark.parametrize("cut", [0, 20, 60])
def test_a_damaged_bundle_is_refused_by_name(tmp_path: Path, cut: int) -> None:
    write_bundle(tmp_path / "variables", {"kernel": np.ones(3, "<f4")})
    index = tmp_path / "variables.index"
    index.write_bytes(index.read_bytes()[:cut])
    with pytest.raises(BundleError, match="variables: not a readable tensor bundle"):
        read_bundle(tmp_path / "variables")


def write_bundle(prefix: Path, tensors: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]) -> None:
    """A checkpoint in TensorFlow's format, with keys that share their beginnings."""

    def varint(value: int) -> bytes:
        out = b""
        while value >= 0x80:
            out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
        return out + bytes([value])

    def block(entries: list[tuple[bytes, bytes]]) -> bytes:
        out, before = b"", b""
        for key, value in entries:
            shared = 0
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
            out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
            before = key
        return out + struct.pack("<II", 0, 1)

    data, entries = b"", [(b"", b"\x08\x01")]
    for name, values in tensors.items():
        shape = b"".join(b"\x12" + varint(2) + b"\x08" + varint(size) for size in values.shape)
        entry = b"\x08\x01\x12" + varint(len(shape)) + shape + b"\x20" + varint(len(data))
        entry += b"\x28" + varint(values.nbytes) + b"\x35\0\0\0\0"
        entries.append((name.encode(), entry))
        data += values.tobytes()
    first = block(entries)
    index = block([(b"z", varint(0) + varint(len(first)))])
    meta = block([])
    body = first + b"\0" * 5 + index + b"\0" * 5 + meta + b"\0" * 5
    handles = varint(len(first) + len(index) + 10) + varint(len(meta)) + varint(len(first) + 5) + varint(len(index))
    footer = handles.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    prefix.with_name(prefix.name + ".index").write_bytes(body + footer)
    prefix.with_name(prefix.name + ".data-00000-of-00001").write_bytes(data)
