"""The pyannote detector against the library itself, on random weights in the released format."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curation.backends.checkpoint import Checkpoint
from curation.backends.weights import ModelSetup, ModelUnavailable
from curation.detectors.base import Block, Blocker
from curation.detectors.pyannote import detector as detector
from curation.detectors.pyannote.network import RATE, library
from manifests.scores import concatenate
from tests.support import ROOT

try:
    installed = find_spec("pyannote.audio") is not None
except ModuleNotFoundError:
    installed = False
pytestmark = pytest.mark.skipif(not installed, reason="pyannote.audio is not installed")

FRAME = 270
Samples = NDArray[np.float32]
# tiny where the size makes no difference
SMALL = {"lstm": {"hidden_size": 8, "num_layers": 1}, "linear": {"hidden_size": 8, "num_layers": 1}}
SPEAKERS = ["speaker#1", "speaker#2", "speaker#3"]
KINDS: dict[str, dict[str, Any]] = {
    "powerset": {"problem": "MONO_LABEL_CLASSIFICATION", "classes": SPEAKERS, "powerset_max_classes": 2},
    "multilabel": {"problem": "MULTI_LABEL_CLASSIFICATION", "classes": SPEAKERS},
    "speech": {"problem": "BINARY_CLASSIFICATION", "classes": ["speech"], "permutation_invariant": False},
    # as pyannote/segmentation of 2021: the ends of a chunk only warm up
    "warm-up": {"problem": "MULTI_LABEL_CLASSIFICATION", "classes": SPEAKERS, "warm_up": (0.3, 0.3)},
}


def scene(count: int, seed: int = 0) -> Samples:
    """Noise whose level jumps every quarter of a second."""
    rng = np.random.default_rng(seed)
    levels = np.repeat(rng.uniform(0.0, 0.3, count // 4000 + 1), 4000)[:count]
    return np.asarray(levels * rng.standard_normal(count), np.float32)


def network(seed: int = 0, sizes: dict[str, Any] = SMALL, **task: Any) -> Any:
    """A PyanNet with random weights whose outputs swing, where fresh ones hardly move."""
    import torch

    lib = library()
    torch.manual_seed(seed)
    model = lib.PyanNet(**sizes)
    said = {"duration": 10.0, "permutation_invariant": True, "resolution": "FRAME", **task}
    said |= {"problem": lib.Problem[said["problem"]], "resolution": lib.Resolution[said["resolution"]]}
    model.specifications = lib.Specifications(**said)
    model.build()
    with torch.no_grad():
        for weight in model.lstm.parameters():
            weight *= 4
        model.eval()
        heard: list[Any] = []
        hook = model.classifier.register_forward_hook(lambda _, __, output: heard.append(output))
        model(torch.from_numpy(scene(10 * RATE, seed)[None, None]))
        hook.remove()
        logits = heard[0].reshape(-1, heard[0].shape[-1])
        gain = 2.0 / logits.std(dim=0)
        model.classifier.weight *= gain.unsqueeze(1)
        model.classifier.bias.copy_((model.classifier.bias - logits.mean(dim=0)) * gain)
    return model


def contents(model: Any) -> dict[str, Any]:
    """A checkpoint as Lightning and pyannote write it."""
    saved = {
        "epoch": 3,
        "global_step": 42,
        "pytorch-lightning_version": "2.6.0",
        "state_dict": model.state_dict(),
        "hparams_name": "kwargs",
        "hyper_parameters": dict(model.hparams),
    }
    model.on_save_checkpoint(saved)
    return saved


def save(path: Path, saved: Any) -> Path:
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(saved, path)
    return path


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pyannote")


@pytest.fixture(scope="session")
def small(folder: Path) -> Path:
    """Chunks of a second: blocks of 8.1 s."""
    return save(folder / "small.bin", contents(network(7, duration=1.0, **KINDS["multilabel"])))


def opened(path: Path) -> detector.Pyannote:
    return detector.Pyannote(ModelSetup(weights=(("pyannote", str(path)),)))


def blocks(one: detector.Pyannote, samples: Samples) -> list[Block]:
    blocker = Blocker(one.spec.plan, RATE)
    return [*blocker.push(samples), *blocker.finish()]


def libraries(path: Path, samples: Samples) -> tuple[Samples, int]:
    """The library's scores over the whole of `samples`, and how many of the frames its network reached."""
    import torch
    from pyannote.audio import Inference, Model

    with warnings.catch_warnings():
        # it says on loading that an old checkpoint was written by an older Lightning
        warnings.simplefilter("ignore")
        model: Any = Model.from_pretrained(path)
    whole: Any = Inference(model, pre_aggregation_hook=lambda scores: np.max(scores, axis=-1, keepdims=True))
    values = whole({"waveform": torch.from_numpy(samples[None]), "sample_rate": RATE}).data[:, 0]
    window, step = round(whole.duration * RATE), round(whole.step * RATE)
    last = max(0, -(-(len(samples) - window) // step)) * step
    return values, round(last / FRAME) + model.num_frames(window)


def agree(path: Path, samples: Samples) -> Samples:
    """Our frames, once they are known to be the library's."""
    one = opened(path)
    ours = np.concatenate([one.probabilities(block) for block in blocks(one, samples)])
    expected, reached = libraries(path, samples)
    assert len(ours) == -(-len(samples) // FRAME)
    heard = min(reached, len(ours), len(expected))
    assert heard > len(ours) - one.spec.plan.right / FRAME
    np.testing.assert_allclose(ours[:heard], expected[:heard], rtol=0, atol=1e-4)
    # where no chunk reaches whole the library writes 0, which would say that nobody speaks
    assert np.all(ours[heard:] == ours[heard - 1])
    return ours


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_equal_the_library_over_the_whole_file(kind: str, folder: Path) -> None:
    duration = 5.0 if kind == "powerset" else 3.0
    path = save(folder / f"{kind}.bin", contents(network(**{"duration": duration, **KINDS[kind]})))
    plan = opened(path).spec.plan
    ours = agree(path, scene(2 * plan.core + 4 * RATE + 12_347))
    assert ours.std() > 0.05 and np.ptp(ours) > 0.3, "a flat line would compare nothing"
    assert plan.left == plan.right and 5 * plan.left <= plan.core


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["powerset", "multilabel"])
def test_the_released_size_equals_the_library(kind: str, folder: Path) -> None:
    path = save(folder / f"released-{kind}.bin", contents(network(sizes={}, **KINDS[kind])))
    assert agree(path, scene(165 * RATE + 1)).std() > 0.05
    # the two LSTM layers may be saved as one or apart
    apart = {"lstm": {"monolithic": False}}
    path = save(folder / f"apart-{kind}.bin", contents(network(sizes=apart, **KINDS[kind])))
    assert agree(path, scene(11 * RATE)).std() > 0.05


# around the lengths at which chunks, blocks and frames begin and end, and everywhere between
_EDGES = st.sampled_from([0, 991, 16_000, 17_600, 129_600, 129_600 + 14_400, 129_600 + 16_000, 259_200])
LENGTHS = st.one_of(
    st.builds(lambda edge, more: max(1, edge + more), _EDGES, st.integers(-3, 3)), st.integers(1, 300_000)
)


@given(count=LENGTHS, seed=st.integers(0, 9))
@settings(deadline=None, max_examples=25)
def test_every_length_equals_the_library(small: Path, count: int, seed: int) -> None:
    agree(small, scene(count, seed))


def test_blocks_stand_alone(small: Path) -> None:
    one = opened(small)
    assert one.spec.stateless
    parts = blocks(one, scene(40 * RATE + 5))
    assert len(parts) == 5
    in_order = [one.scores(block) for block in parts]
    other = opened(small)
    for number in (3, 1, 4):
        again = other.scores(parts[number])
        np.testing.assert_array_equal(again.values, in_order[number].values)
        assert again.start == in_order[number].start


def test_scoring_takes_one_thread_and_gives_them_back(small: Path) -> None:
    import torch

    one = opened(small)
    seen: list[int] = []
    one._inference.model.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    torch.set_num_threads(2)
    try:
        one.scores(blocks(one, scene(RATE))[0])
        assert set(seen) == {1} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_a_trained_loss_is_no_part_of_the_network(small: Path, folder: Path) -> None:
    saved = contents(network(7, duration=1.0, **KINDS["multilabel"]))
    saved["state_dict"]["loss_func.weight"] = saved["state_dict"]["classifier.bias"]
    one, other = opened(save(folder / "loss.bin", saved)), opened(small)
    block = blocks(one, scene(RATE))[0]
    np.testing.assert_array_equal(one.probabilities(block), other.probabilities(block))


def test_stored_frames_are_the_pooled_whole(small: Path) -> None:
    one = opened(small)
    parts = blocks(one, scene(30 * RATE + 77))
    raw = [one.scores(block) for block in parts]
    assert all(part.values.dtype == np.float16 and part.labels == ("speech",) for part in raw)
    for part, block in zip(raw, parts, strict=True):
        np.testing.assert_array_equal(part.values[:, 0], one.probabilities(block).astype(np.float16))
        assert part.start == block.start / RATE
    stored, whole = concatenate([part.pooled() for part in raw]), concatenate(raw).pooled()
    np.testing.assert_array_equal(stored.values, whole.values)
    assert stored.hop == whole.hop == pytest.approx(3 * FRAME / RATE) and stored.start == 0
    assert [part.start for part in raw] == [i * one.spec.plan.core / RATE for i in range(len(raw))]
    assert all(len(part) % 3 == 0 for part in raw[:-1])


def test_the_clock_is_the_networks(small: Path) -> None:
    field = network(duration=1.0, **KINDS["speech"]).receptive_field
    one = opened(small)
    assert (field.start, field.step, field.duration) == (0.0, one.spec.hop, one.spec.window)


def test_a_click_is_heard_when_it_sounds(folder: Path) -> None:
    """The LSTM made deaf to its past, frames answer only to what their convolutions hear."""
    import torch

    model = network(3, duration=2.0, **KINDS["speech"])
    with torch.no_grad():
        for name, weight in model.lstm.named_parameters():
            if "weight_hh" in name:
                weight.zero_()  # no past output
            if "bias_ih" in name:
                weight[8:16] = -50.0  # the forget gate: no past cell
    one = opened(save(folder / "deaf.bin", contents(model)))
    # in every block, beside the seams at 16.2 and 32.4 s, and no two in one chunk
    clicks = [round(second * RATE) for second in (3.3, 8.123, 16.15, 20.7, 25.77, 32.41, 37.0)]
    sound = np.zeros(40 * RATE, np.float32)
    for click in clicks:
        sound[click : click + 16] = 0.8
    parts = blocks(one, sound)
    assert [part.start for part in parts] == [0, 259_200, 518_400]
    heard = concatenate([one.scores(part) for part in parts]).track("speech")
    middles = (np.arange(len(heard)) * one.spec.hop + one.spec.window / 2) * RATE
    # convolutions hear `window` samples, and a chunk begins up to half a frame off the grid
    reach = one.spec.window * RATE / 2 + FRAME / 2 + 16
    for click in clicks:
        around = np.abs(middles - click) < RATE
        change = np.abs(heard - np.median(heard[around]))
        near = around & (np.abs(middles - click - 8) <= reach)
        assert near.sum() <= 5
        assert change[near].max() > 0.1 and change[near].max() > 10 * change[around & ~near].max(), click / RATE
        centre = np.average(middles[near], weights=change[near])
        assert abs(centre - click - 8) < FRAME, click / RATE


# files that are none


def test_the_version_is_the_weights(small: Path, folder: Path) -> None:
    other = save(folder / "other.bin", contents(network(8, duration=1.0, **KINDS["multilabel"])))
    copy = folder / "elsewhere" / "copy.bin"
    copy.parent.mkdir()
    shutil.copy(small, copy)
    one, two, three = (detector.spec(ModelSetup(weights=(("pyannote", str(p)),))) for p in (small, other, copy))
    assert one.version != two.version and one == three
    assert one.version.startswith("1-") and len(one.version) == 14


def edited(change: Callable[[dict[str, Any]], Any], **task: Any) -> Callable[[Path], None]:
    """Writes a checkpoint in which something is changed; what `change` returns, if anything, is saved instead."""

    def write(path: Path) -> None:
        saved = contents(network(**{"duration": 1.0, **KINDS["multilabel"], **task}))
        save(path, change(saved) or saved)

    return write


def cut(keep: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        edited(lambda _: None)(path)
        path.write_bytes(keep(path.read_bytes()))

    return write


def stored(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Writes a checkpoint with the bytes of one tensor changed, in a sound archive."""

    def write(path: Path) -> None:
        edited(lambda _: None)(path)
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        name = next(name for name in files if name.endswith("/data/0"))
        with zipfile.ZipFile(path, "w") as archive:
            for entry, written in files.items():
                archive.writestr(entry, change(written) if entry == name else written)

    return write


def flipped(written: bytes) -> bytes:
    """One bit changed in the last tensor's bytes."""
    at = written.rindex(b"PK\x03\x04", 0, written.rindex(b"/version")) - 200
    return written[:at] + bytes([written[at] ^ 1]) + written[at + 1 :]


def without(name: str) -> Callable[[dict[str, Any]], None]:
    def change(saved: dict[str, Any]) -> None:
        del saved["state_dict"][name]

    return change


def bigger(saved: dict[str, Any]) -> None:
    saved["state_dict"]["classifier.bias"] = saved["state_dict"]["classifier.bias"].repeat(2)


def not_finite(saved: dict[str, Any]) -> None:
    saved["state_dict"]["classifier.bias"][1] = float("nan")


def both_tasks(saved: dict[str, Any]) -> None:
    said = saved["pyannote.audio"]
    said["specifications"] = (said["specifications"],) * 2


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "not a complete PyTorch checkpoint"),
    "text": (lambda path: path.write_text("version https://git-lfs\n" * 9), "not a complete PyTorch checkpoint"),
    "half": (cut(lambda written: written[: len(written) // 2]), "not a complete PyTorch checkpoint"),
    "short": (cut(lambda written: written[:-1]), "not a complete PyTorch checkpoint"),
    "flipped": (cut(flipped), "is damaged"),
    "zip": (lambda path: zipfile.ZipFile(path, "w").close(), "a zip archive with 0 pickles"),
    "shrunk": (stored(lambda written: written[:-4]), "tensor .* cannot be read .ends at value 1 of 0"),
    "panns": (
        edited(lambda saved: {"model": saved["state_dict"]}),
        "not a pyannote checkpoint: .pyannote.audio. is missing",
    ),
    "list": (edited(lambda saved: [saved]), "not a pyannote checkpoint: .pyannote.audio. is missing"),
    "weights alone": (
        edited(lambda saved: dict(saved["state_dict"])),
        "not a pyannote checkpoint: .pyannote.audio. is missing",
    ),
    "no weights": (edited(lambda saved: saved.pop("state_dict") and None), "state_dict is missing"),
    "no settings": (edited(lambda saved: saved.pop("hyper_parameters") and None), "KeyError: 'hyper_parameters'"),
    "missing": (edited(without("lstm.bias_hh_l0")), "lacks lstm.bias_hh_l0$"),
    "extra": (
        edited(lambda saved: saved["state_dict"].update(a=saved["state_dict"]["classifier.bias"])),
        "unlike PyanNet, has a$",
    ),
    "other size": (edited(bigger), "has a wrong shape of classifier.bias$"),
    "other settings": (
        edited(lambda saved: saved["hyper_parameters"].update(lstm={"hidden_size": 9, "num_layers": 1})),
        "has a wrong shape of lstm.bias_hh_l0 and 8 more$|has a wrong shape of linear.0.weight and",
    ),
    "not a number": (edited(not_finite), "tensor classifier.bias is not finite"),
    "embedding": (
        edited(lambda saved: saved["pyannote.audio"]["architecture"].update({"class": "XVectorSincNet"})),
        "network XVectorSincNet, this detector runs PyanNet",
    ),
    "overlap": (edited(lambda _: None, **KINDS["speech"] | {"classes": ["overlap"]}), "trained for overlap, not"),
    "music": (edited(lambda _: None, classes=["speech", "music"]), "trained for speech, music, not for speech"),
    "whole chunks": (edited(lambda _: None, resolution="CHUNK"), "trained for speaker#1, .*, not for"),
    "two tasks": (edited(both_tasks), "trained for several tasks at once"),
    "rate": (edited(lambda saved: saved["hyper_parameters"].update(sample_rate=8000)), "expects 8000 Hz"),
    "steps": (edited(lambda _: None, duration=1.2347), "chunks of 1.2347 s every 0.12347"),
    "too short": (edited(lambda _: None, duration=0.5), "chunks 0.05 s apart, too close"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_file_gives_one_line_and_stays_as_it_is(fault: str, tmp_path: Path) -> None:
    write, message = BAD[fault]
    path = tmp_path / "weights" / f"{fault}.bin"
    path.parent.mkdir()
    write(path)
    os.utime(path, ns=(10**18, 10**18 + 123_456_789))
    before = path.read_bytes(), path.stat().st_mtime_ns
    setup = ModelSetup(weights=(("pyannote", str(path)),))
    with pytest.raises(ModelUnavailable, match=f"^pyannote: {path}: .*{message}") as raised:
        detector.Pyannote(setup)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400 + len(str(path))
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("fault", ["flipped", "shrunk", "no weights", "not a number", "half", "overlap"])
def test_damage_is_told_before_workers_open_the_file(fault: str, tmp_path: Path) -> None:
    BAD[fault][0](tmp_path / "x.bin")
    with pytest.raises(ModelUnavailable, match=BAD[fault][1]):
        detector.prepare(ModelSetup(weights=(("pyannote", str(tmp_path / "x.bin")),)))


class _Payload:
    """Unpickled, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_what_a_file_says_is_never_run(small: Path, tmp_path: Path) -> None:
    import torch

    saved = contents(network(7, duration=1.0, **KINDS["multilabel"]))
    # trainers leave such things, and unknown ones do no harm
    path = save(tmp_path / "extra.bin", saved | {"callbacks": [{_Payload(tmp_path / "made"): 1}, {1, 2}, Path("x")]})
    block = blocks(opened(path), scene(RATE))[0]
    np.testing.assert_array_equal(opened(path).probabilities(block), opened(small).probabilities(block))
    saved["state_dict"]["classifier.bias"] = _Payload(tmp_path / "made")
    path = save(tmp_path / "weight.bin", saved)
    with pytest.raises(ModelUnavailable, match=r"tensor classifier\.bias cannot be read \(not a tensor\)"):
        opened(path)
    assert not (tmp_path / "made").exists()
    # the payload does bite where a file is trusted
    torch.load(path, weights_only=False)
    assert (tmp_path / "made").is_dir()


def test_tensors_are_read_as_torch_reads_them(tmp_path: Path) -> None:
    import torch

    base = torch.arange(24, dtype=torch.float64).reshape(4, 6)
    tensors = {
        "whole": base,
        "view": base[1:3, ::2],
        "turned": base.T,
        "repeated": base[0].expand(3, 6),
        "half": base.half(),
        "whole numbers": base.long(),
        "yes or no": base > 3,
        "single": torch.tensor(2.5),
        "none": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(base),
    }
    read = Checkpoint(save(tmp_path / "t.bin", {"state_dict": tensors})).state()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(read[name], tensor.detach().numpy())
        assert read[name].dtype == tensor.detach().numpy().dtype
    with pytest.raises(ValueError, match=r"tensor x cannot be read \(unsupported type torch.BFloat16Storage\)"):
        Checkpoint(save(tmp_path / "b.bin", {"state_dict": {"x": base.bfloat16()}})).state()


# where the file comes from


def test_where_the_checkpoint_is_looked_for(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = detector.spec(ModelSetup(weights=(("pyannote", str(small)),)))
    shutil.copy(small, tmp_path / "pyannote_segmentation.bin")
    monkeypatch.setenv("LPSE_WEIGHTS", str(tmp_path))
    assert detector.spec(ModelSetup()) == expected
    released = tmp_path / "segmentation-3.0" / "pytorch_model.bin"
    released.parent.mkdir()
    shutil.copy(small, released)
    assert detector.spec(ModelSetup(weights=(("pyannote", str(released.parent)),))) == expected
    monkeypatch.delenv("LPSE_WEIGHTS")
    with pytest.raises(ModelUnavailable, match=r"needs pyannote_segmentation\.bin: get it from the Hugging Face"):
        detector.spec(ModelSetup())
    # looks like a hub id, and means a file
    with pytest.raises(ModelUnavailable, match=r"^pyannote: no file weights/seg\.bin: get it from"):
        detector.spec(ModelSetup(weights=(("pyannote", "weights/seg.bin"),)))


def test_what_to_install(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "find_spec", lambda _: None)
    detector._installed.cache_clear()
    with pytest.raises(ModelUnavailable, match=r"^pyannote.audio is not installed: pip install 'lpse\[pyannote\]'$"):
        detector.spec(ModelSetup(weights=(("pyannote", str(small)),)))
    monkeypatch.undo()
    detector._installed.cache_clear()
    detector.spec(ModelSetup(weights=(("pyannote", str(small)),)))


NOT_GIVEN = (
    "pyannote: pyannote/open on the Hugging Face hub: not in the hub's cache, and not available from the hub: "
    "connect once, or name a file as weights.pyannote instead"
)
_ASK = """
import json, sys
from curation.detectors.pyannote import detector as pyannote
from curation.backends.weights import ModelSetup, ModelUnavailable
told = []
for name in json.loads(sys.argv[1]):
    try:
        setup = ModelSetup(weights=(("pyannote", name),))
        pyannote.prepare(setup)
        told.append(pyannote.spec(setup).version)
    except ModelUnavailable as error:
        told.append(str(error))
assert not {"torch", "pyannote.audio", "torchaudio"} & set(sys.modules)
print(json.dumps(told))
"""


def ask(*names: str, **environment: str) -> tuple[list[str], str]:
    """What a process of its own says of each name, and everything it wrote; beside that it must be quiet."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _ASK, json.dumps(names)],
        cwd=ROOT,
        # TQDM_POSITION: bars wherever they are not switched off, terminal or not
        env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "TQDM_POSITION": "-1", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    told: list[str] = json.loads(done.stdout)
    return told, done.stdout + done.stderr


@pytest.fixture
def hub(small: Path) -> Iterator[tuple[str, list[str | None]]]:
    """A hub with one gated repository and one without the file; its address, and the tokens it was shown."""
    tokens: list[str | None] = []
    weights = small.read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            tokens.append(self.headers.get("Authorization"))
            repository = "/".join(self.path.split("/")[1:3])
            status, code = {
                "pyannote/open": (200, ""),
                "pyannote/gated": (200, "") if tokens[-1] == "Bearer hf_secret" else (403, "GatedRepo"),
                "pyannote/empty": (404, "EntryNotFound"),
                "pyannote/broken": (400, ""),
            }.get(repository, (401, "RepoNotFound"))
            self.send_response(status)
            if status == 200:
                self.send_header("ETag", '"0123abcd"')
                self.send_header("X-Repo-Commit", "a" * 40)
            else:
                self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", str(len(weights) if status == 200 else 0))
            self.end_headers()
            if status == 200 and self.command == "GET":
                self.wfile.write(weights)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", tokens
        server.shutdown()
        thread.join()


def test_a_hub_id_is_fetched_once(hub: tuple[str, list[str | None]], small: Path, tmp_path: Path) -> None:
    address, tokens = hub
    here = {"HOME": str(tmp_path / "home"), "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "cache")}
    expected = detector.spec(ModelSetup(weights=(("pyannote", str(small)),))).version
    told, wrote = ask("pyannote/gated", **here)
    assert told == [
        "pyannote: pyannote/gated on the Hugging Face hub: access denied: "
        "accept its conditions on its page and set a token in HF_TOKEN"
    ]
    told, wrote = ask("pyannote/gated", "pyannote/gated", HF_TOKEN="hf_secret", **here)
    assert told == [expected] * 2 and "Bearer hf_secret" in tokens
    assert "hf_secret" not in wrote
    for path in tmp_path.rglob("*"):
        assert "hf_secret" not in str(path) and (not path.is_file() or b"hf_secret" not in path.read_bytes())
    seen = len(tokens)
    # from the cache from now on, whether the hub is there or not
    assert ask("pyannote/gated", **here)[0] == [expected]
    assert ask("pyannote/gated", **here, HF_HUB_OFFLINE="1")[0] == [expected]
    assert len(tokens) == seen
    assert not (tmp_path / "home").exists() or not list((tmp_path / "home").iterdir())


def test_a_hub_that_does_not_give_gets_one_line(hub: tuple[str, list[str | None]], tmp_path: Path) -> None:
    address, tokens = hub
    here = {"HOME": str(tmp_path / "home"), "HF_HOME": str(tmp_path / "cache"), "HF_TOKEN": "hf_wrong"}
    names = ["pyannote/absent", "pyannote/empty", "pyannote/broken", "a--b/c"]
    told, wrote = ask(*names, HF_ENDPOINT=address, **here)
    for name, line, fault in zip(
        names,
        told,
        ["no such repository", "no file pytorch_model.bin", "not in the hub's cache, and", "cannot be fetched ("],
        strict=True,
    ):
        assert line.startswith(f"pyannote: {name} on the Hugging Face hub: {fault}") and "\n" not in line
    assert "hf_wrong" not in wrote and "Traceback" not in wrote and address not in wrote
    seen = len(tokens)
    offline, _ = ask("pyannote/open", HF_ENDPOINT=address, HF_HUB_OFFLINE="1", **here)
    assert offline == [NOT_GIVEN] and len(tokens) == seen


@pytest.mark.slow
def test_without_a_network_the_hub_gets_one_line(tmp_path: Path) -> None:
    # the hub library tries for 23 s
    here = {"HOME": str(tmp_path / "home"), "HF_HOME": str(tmp_path / "cache")}
    assert ask("pyannote/open", HF_ENDPOINT="http://127.0.0.1:1", **here)[0] == [NOT_GIVEN]


# what it leaves alone

_ALONE = """
import os, socket, sys, threading
def refused(*arguments, **_):
    raise AssertionError(f"a connection: {arguments}")
socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = refused
raised = []
threading.excepthook = lambda told: raised.append(str(told.exc_value))
import numpy as np
from curation.detectors.pyannote import detector as pyannote
from curation.detectors.base import Blocker
from curation.backends.weights import ModelSetup
one = pyannote.Pyannote(ModelSetup(weights=(("pyannote", sys.argv[1]),)))
blocker = Blocker(one.spec.plan, 16_000)
rng = np.random.default_rng(0)
parts = [*blocker.push(0.1 * rng.standard_normal(200_000).astype(np.float32)), *blocker.finish()]
assert len(parts) == 2
for block in parts:
    block.samples.flags.writeable = False
    assert one.scores(block).values.min() > 0
from pyannote.audio.telemetry.metrics import is_metrics_enabled, provider
assert not is_metrics_enabled()
provider.force_flush()
assert not raised, raised
assert "MPLCONFIGDIR" not in os.environ
"""


def test_no_connection_no_noise_and_nothing_written(small: Path, tmp_path: Path) -> None:
    for name in ("home", "temporary", "here"):
        (tmp_path / name).mkdir()
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", _ALONE, str(small)],
        cwd=tmp_path / "here",
        env={
            "HOME": str(tmp_path / "home"),
            "TMPDIR": str(tmp_path / "temporary"),
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "PYANNOTE_METRICS_ENABLED": "1",
        },
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path for name in ("home", "here") for path in (tmp_path / name).rglob("*")] == []
    # torch makes an empty folder there
    assert [path for path in (tmp_path / "temporary").rglob("*") if path.is_file() or "lpse" in path.name] == []


_STUB = """
import sys
from curation.backends.torchaudio_stub import ensure_torchaudio
ensure_torchaudio()
import torchaudio
print(torchaudio.extension._IS_TORCHAUDIO_EXT_AVAILABLE, torchaudio.resample)
"""


@pytest.mark.parametrize(
    ("extension", "outcome"),
    [
        ("raise OSError('Could not load this library')", (0, "False works\n", "")),
        ("_IS_TORCHAUDIO_EXT_AVAILABLE = True", (0, "True works\n", "")),
        ("raise ImportError('not for this Python')", (1, "", "ImportError: not for this Python")),
    ],
)
def test_torchaudio_is_helped_over_its_library_and_nothing_else(
    extension: str, outcome: tuple[int, str, str], tmp_path: Path
) -> None:
    package = tmp_path / "torchaudio"
    (package / "_extension").mkdir(parents=True)
    # what was imported before the refusal is imported again, or the package would not know its own part
    (package / "__init__.py").write_text(
        "import torchaudio.words\nfrom . import _extension as extension\nresample = torchaudio.words.WORKS\n"
    )
    (package / "words.py").write_text("WORKS = 'works'\n")
    (package / "_extension" / "__init__.py").write_text(extension + "\n")
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", _STUB],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr.strip().rpartition("\n")[2]) == outcome
