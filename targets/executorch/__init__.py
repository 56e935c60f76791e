"""Target ``executorch``: ``.pte`` files for PyTorch's runtime on devices, computed by XNNPACK."""
