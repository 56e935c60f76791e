"""Targets ``tensorrt`` and ``tensorrt_rtx``: engines for NVIDIA GPUs, the latter built on machines without one."""
