"""What annotators' browsers make of a proxy: its first sample is the window's first, its pictures come on time."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

import tests.support.media_files as files
from curation.media import audio_blocks, write_media, write_proxies
from manifests.time import Segment

if TYPE_CHECKING:
    from tests.support.browser import Page

SECONDS, FPS = 20.0, 10
WINDOW = Segment(7.217, 12.5)
# The sound as the page's waveform gets it; what <video> says of the file; the picture at a time, as 8 bits.
SCRIPT = """
const load = (id) => Uint8Array.from(atob(document.getElementById(id).textContent), c => c.charCodeAt(0));
async function heard(id, rate) {
  const sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(load(id).buffer);
  const bytes = new Uint8Array(sound.getChannelData(0).buffer);
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return {channels: sound.numberOfChannels, rate: sound.sampleRate, data: btoa(text)};
}
const video = document.createElement("video");
const happens = (name) => new Promise((done, failed) => {
  video.addEventListener(name, done, {once: true});
  video.addEventListener("error", () => failed(video.error), {once: true});
});
async function opened() {
  const ready = happens("canplaythrough");
  video.src = URL.createObjectURL(new Blob([load("video")], {type: "video/mp4"}));
  await ready;
  return {duration: video.duration, width: video.videoWidth, height: video.videoHeight};
}
async function seen(time) {
  const ready = happens("seeked");
  video.currentTime = time;
  await ready;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const context = canvas.getContext("2d", {willReadFrequently: true});
  // a busy browser may not have the picture at hand yet: then nothing is drawn, not even black
  for (let tries = 0; tries < 250 && !context.getImageData(0, 0, 1, 1).data[3]; tries++) {
    if (tries) await new Promise(done => setTimeout(done, 20));
    context.drawImage(video, 0, 0);
  }
  const step = canvas.width / 8;
  const bits = Array.from({length: 8}, (_, bar) => context.getImageData(step * bar + step / 2, 16, 1, 1).data[1] > 127);
  return bits.reduce((number, bit) => 2 * number + bit, 0);
}
"""


def show(page: Page, folder: Path, rate: int, audio_codec: str, suffix: str) -> NDArray[np.float32]:
    """Proxies of a recording in a page of their own; what the recording sounds like in the window."""
    rng = np.random.default_rng(3)
    noise = np.cumsum(rng.normal(0, 0.1, (2, round(rate * SECONDS))), axis=1)
    noise -= np.linspace(0, 1, noise.shape[1]) * noise[:, -1:]
    source = folder / f"a{suffix}"
    write_media(
        source,
        frames=files.numbered_frames(round(FPS * SECONDS)),
        fps=FPS,
        video_codec=files.VIDEO_CODECS.get(suffix, "libx264"),
        audio=[(0.7 * noise / np.abs(noise).max()).astype(np.float32)],
        sample_rate=rate,
        audio_codec=audio_codec,
    )
    write_proxies(source, WINDOW, folder / "a.m4a", folder / "proxy.mp4")
    parts = [
        f'<script type="text/plain" id="{name}">{base64.b64encode((folder / file).read_bytes()).decode()}</script>'
        for name, file in (("sound", "a.m4a"), ("video", "proxy.mp4"))
    ]
    (folder / "page.html").write_text(f"<!doctype html><title>Proxies</title>{''.join(parts)}<script>{SCRIPT}</script>")
    page.open(folder / "page.html")
    whole = np.concatenate([block.native for block in audio_blocks(source)], axis=1)
    return np.asarray(whole[:, round(WINDOW.start * rate) : round(WINDOW.end * rate)])


@pytest.mark.parametrize(
    ("rate", "audio_codec", "suffix"), [(44_100, "aac", ".mp4"), (48_000, "libopus", ".webm"), (48_000, "flac", ".mkv")]
)
def test_a_proxy_in_a_browser(page: Page, tmp_path: Path, rate: int, audio_codec: str, suffix: str) -> None:
    source = show(page, tmp_path, rate, audio_codec, suffix)
    for name, channels, expected in (("sound", 2, source[0]), ("video", 2, source[0])):
        heard = page.run(f"heard('{name}', {rate})")
        assert (heard["rate"], heard["channels"]) == (rate, channels)
        sound = np.frombuffer(base64.b64decode(heard["data"]), np.float32)
        assert len(expected) <= len(sound) <= len(expected) + 1024
        assert files.lag(sound, expected) == 0
        assert np.corrcoef(sound[: len(expected)], expected)[0, 1] > 0.99

    shown = page.run("opened()")
    assert WINDOW.duration <= shown["duration"] <= WINDOW.duration + 1 / 30
    assert (shown["width"], shown["height"]) == (64, 32)
    # in the middle of a picture of the recording, so that a picture of the proxy is no matter
    for number in (73, 85, 99, 124):
        assert page.run(f"seen({(number + 0.5) / FPS - WINDOW.start})") == number
    assert page.complaints == []
