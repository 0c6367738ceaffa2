"""The purity network in torch: its layers, its initial weights, and its export to ONNX."""
