"""From a module to an ONNX file, and to a bundle of them."""
