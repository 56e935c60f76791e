"""Mobile and edge export toolchain for InstantStyle and other image-to-image PyTorch models."""
