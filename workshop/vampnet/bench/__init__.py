"""PyTorch and ONNX Runtime side by side, at VampNet's sizes."""
