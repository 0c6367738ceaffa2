"""ONNX Runtime sessions as every detector wants them: one thread, quiet, and the same result on every run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .weights import ModelUnavailable


def open_session(model: Path | bytes) -> Any:
    """A single-threaded CPU session of a model file or of serialized bytes."""
    # else importing it leaves a device id and an event database in the home folder
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelUnavailable(f"onnxruntime does not load ({error}): pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # an arena never gives memory back: the largest block of the longest file would stay with the worker
    options.enable_cpu_mem_arena = False
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
