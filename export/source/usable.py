"""What a factory returned, as the toolchain wants it: a Python module on the CPU, float32, in eval mode."""

import torch
from torch import nn

from ...system.errors import RecipeError

# What only hands on to the module inside.
WRAPPERS = {"OptimizedModule": "_orig_mod", "DataParallel": "module", "DistributedDataParallel": "module"}


def usable(module: nn.Module) -> nn.Module:
    """The module itself, unwrapped from ``torch.compile`` and ``DataParallel``, its floating-point weights float32.

    Raises:
        RecipeError: TorchScript or an exported program, whose forward cannot be captured, or weights that are nowhere.
    """
    while (inner := WRAPPERS.get(type(module).__name__)) is not None and isinstance(getattr(module, inner, None), nn.Module):
        module = getattr(module, inner)
    for path, child in module.named_modules():
        where = f"submodule '{path}' is" if path else "model.factory returned"
        if isinstance(child, torch.jit.ScriptModule):
            raise RecipeError(
                f"model: {where} TorchScript ({type(child).__name__}), whose code torch.export cannot capture. Return the nn.Module that "
                "it was made from, with its weights: module.load_state_dict(torch.jit.load(file).state_dict())"
            )
    nowhere = next((name for name, tensor in module.state_dict().items() if isinstance(tensor, torch.Tensor) and tensor.is_meta), None)
    if nowhere is not None:
        raise RecipeError(f"model: '{nowhere}' is on the device 'meta', so it has no values; make the model on the CPU")
    try:
        return module.eval().cpu().float()
    except NotImplementedError as error:
        raise RecipeError(
            f"model: model.factory returned an exported program ({error}), which cannot be captured again. "
            "Return the nn.Module that it was made from"
        ) from error
