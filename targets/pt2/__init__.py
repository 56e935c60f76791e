"""Target ``pt2``: archives of ``torch.export``, for PyTorch itself and what is built on it (AOTInductor, other exporters)."""
