"""Opens ONNX Runtime sessions for detectors: one thread, quiet, and reproducible results."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .weights import ModelUnavailable


def open_session(model: Path | bytes) -> Any:
    """A single-threaded CPU session of a model file or of serialized bytes."""
    # else importing it writes a device id and an event database to the home folder
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelUnavailable(f"onnxruntime cannot be imported ({error}): pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # an arena never frees memory: the worker would keep the largest block of the longest file
    options.enable_cpu_mem_arena = False
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
