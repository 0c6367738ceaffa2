"""Reading and writing sound and picture: the only place that uses PyAV."""

from .audio import AudioBlock, audio_blocks, audio_span, mono_span, resampled
from .encode import PREVIEW_TYPE, encode_preview, half_written, thumbnail, write_media
from .frames import VideoFrame, frames, frames_reaching
from .identify import Identity, identify
from .loudness import MomentaryLoudness
from .probe import AudioTrack, MediaError, MediaInfo, VideoTrack, probe
from .proxy import PROXY_FPS, write_proxies

__all__ = [
    "PREVIEW_TYPE",
    "PROXY_FPS",
    "AudioBlock",
    "AudioTrack",
    "Identity",
    "MediaError",
    "MediaInfo",
    "MomentaryLoudness",
    "VideoFrame",
    "VideoTrack",
    "audio_blocks",
    "audio_span",
    "encode_preview",
    "frames",
    "frames_reaching",
    "half_written",
    "identify",
    "mono_span",
    "probe",
    "resampled",
    "thumbnail",
    "write_media",
    "write_proxies",
]
