"""Painting pictures of any size, with the PyTorch network or with an artifact that ``release`` built."""
