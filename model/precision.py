"""Where bfloat16 is worth its rounding."""

import torch


def working_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where ``device`` has instructions for it, or oneDNN emulates it at the speed of float32; float32 elsewhere.

    Without AVX-512 a bfloat16 convolution took ten times as long as one in float32.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return torch.float32 if torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2") else torch.bfloat16
