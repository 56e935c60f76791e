"""Measures artifacts against the PyTorch reference, and judges them."""
