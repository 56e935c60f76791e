"""Reference evaluator of Core ML packages: runs the MIL program of a saved ``.mlpackage`` in PyTorch, on any machine."""
