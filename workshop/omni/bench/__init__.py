"""PyTorch and ONNX Runtime side by side, from a spoken question to its answer aloud."""
