"""Target ``triton``: model repositories for NVIDIA's Triton Inference Server, served here by the one that nvidia-pytriton brings."""
