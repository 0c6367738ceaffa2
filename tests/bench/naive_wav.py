"""The first step of the naive way, which several benchmarks time themselves against: a WAV for a model to load."""

from __future__ import annotations

from pathlib import Path


def wav(path: Path, target: Path) -> Path:
    """The file's sound as a WAV, through PyAV, as the ffmpeg program would make it."""
    import av

    with av.open(str(path)) as source, av.open(str(target), "w") as sink:
        stream = source.streams.audio[0]
        out = sink.add_stream("pcm_f32le", rate=stream.rate, layout=stream.layout.name)
        resampler = av.AudioResampler(format="flt", layout=stream.layout.name, rate=stream.rate)
        for frame in source.decode(stream):
            for piece in resampler.resample(frame):
                sink.mux(out.encode(piece))
        sink.mux(out.encode(None))
    return target
