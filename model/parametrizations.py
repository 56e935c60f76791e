"""Weights that a module computes from others before each forward: weight norm, spectral norm, masks, any parametrization."""

from torch import nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm, remove_spectral_norm
from torch.nn.utils.weight_norm import WeightNorm, remove_weight_norm


def fold_parametrizations(module: nn.Module) -> None:
    """Makes every computed weight a plain parameter of the value that it has in eval mode. Puts the module into eval mode."""
    module.eval()
    for owner in list(module.modules()):
        for hook in list(owner._forward_pre_hooks.values()):
            _fold_hook(owner, hook)
        if parametrize.is_parametrized(owner):
            for name in list(owner.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(owner, name, leave_parametrized=True)


def _fold_hook(owner: nn.Module, hook: object) -> None:
    """The forms that PyTorch had before parametrizations: a hook that sets the weight."""
    if isinstance(hook, WeightNorm):
        remove_weight_norm(owner, hook.name)
    elif isinstance(hook, SpectralNorm):
        remove_spectral_norm(owner, hook.name)
    elif isinstance(hook, prune.BasePruningMethod):
        prune.remove(owner, hook._tensor_name)
