"""ONNX for onnxruntime-web: what it emits, and how its wasm runs here."""
