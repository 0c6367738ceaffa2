"""Support for models in this process: weights, checkpoints read as data, ONNX sessions, threads, import stubs."""
