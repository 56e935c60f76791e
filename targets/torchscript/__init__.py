"""Target ``torchscript``: traced modules for libtorch. PyTorch has deprecated the format; it is here for what still loads it."""
