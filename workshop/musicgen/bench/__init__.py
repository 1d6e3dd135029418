"""PyTorch and ONNX Runtime side by side, at MusicGen's sizes."""
