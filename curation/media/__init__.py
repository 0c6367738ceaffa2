"""Reads and writes audio and video files: the only package that uses PyAV."""

from .audio import AudioBlock, audio_blocks, audio_span, mono_span, resampled
from .container import MediaError
from .encode import PREVIEW_TYPE, encode_preview, half_written, thumbnail, write_media
from .frames import VideoFrame, frames, frames_reaching
from .identify import Identity, identify
from .loudness import MomentaryLoudness
from .packets import plays_as_read
from .probe import AudioTrack, MediaInfo, VideoTrack, probe
from .proxy import PROXY_FPS, write_proxies
from .sound_onto import SOUND_CODECS, check_sound_onto, seconds_shown, sound_onto

__all__ = [
    "PREVIEW_TYPE",
    "PROXY_FPS",
    "SOUND_CODECS",
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
    "check_sound_onto",
    "encode_preview",
    "frames",
    "frames_reaching",
    "half_written",
    "identify",
    "mono_span",
    "plays_as_read",
    "probe",
    "resampled",
    "seconds_shown",
    "sound_onto",
    "thumbnail",
    "write_media",
    "write_proxies",
]
