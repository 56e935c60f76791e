"""ONNX Runtime on Android: the .ort format."""
