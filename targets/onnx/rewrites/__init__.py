"""Named rewrites of ONNX graphs. Each states what it requires and ensures, and returns what it changed; ``apply`` checks it."""
