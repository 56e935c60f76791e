"""One element of what a module returns, without changing the module: a hook leaves paths and names of parameters alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from ..system.errors import RecipeError


@dataclass(frozen=True)
class Select:
    """A forward hook that replaces what a module returns by one element of it.

    Attributes:
        key: position in a tuple or list, key of a dict, or name of a field.
    """

    key: int | str

    def __call__(self, module: nn.Module, inputs: object, output: object) -> object:
        """RecipeError if there is no such element."""
        try:
            if isinstance(output, Mapping) or isinstance(self.key, int):
                return output[self.key]  # type: ignore[index]
            return getattr(output, self.key)
        except (LookupError, TypeError, AttributeError):
            raise RecipeError(f"model.output.select: found {self.key!r}, but the model returns {contents(output)}") from None


def select(module: nn.Module, key: int | str | None) -> None:
    """Makes ``module`` return one element only; None for all that it returns. An earlier choice is forgotten."""
    for handle, hook in list(module._forward_hooks.items()):
        if isinstance(hook, Select):
            del module._forward_hooks[handle]
    if key is not None:
        module.register_forward_hook(Select(key))


def elements(output: object) -> Iterator[tuple[int | str, object]]:
    """Everything that ``Select`` could take of what a module returned: keys or positions, and what is there."""
    if isinstance(output, Mapping):
        yield from ((key, value) for key, value in output.items() if isinstance(key, int | str))
    elif isinstance(output, (tuple, list)):
        yield from enumerate(output)
    elif not isinstance(output, Tensor) and hasattr(output, "__dict__"):
        yield from vars(output).items()


def contents(output: object) -> str:
    """What a module returned, for people: shapes by key or position."""
    if isinstance(output, Tensor):
        return f"one tensor {tuple(output.shape)}"
    if isinstance(output, Mapping):
        return f"a dict with {', '.join(f'{key!r}: {_shape(value)}' for key, value in output.items()) or 'nothing'}"
    if isinstance(output, (tuple, list)):
        names = getattr(output, "_fields", range(len(output)))
        return f"a {type(output).__name__} with {', '.join(f'{key}: {_shape(value)}' for key, value in zip(names, output, strict=True))}"
    return f"an object of type {type(output).__name__}"


def _shape(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
