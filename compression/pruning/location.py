"""Where in a module a forward pass is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import nn


class Location:
    """The path of the module that runs, and after an error of the one that raised it."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    @property
    def path(self) -> str:
        """Module path; empty outside of all but the network itself."""
        return self.paths[-1] if self.paths else ""

    def __str__(self) -> str:
        return f"'{self.path}'" if self.path else "the network's own forward"


@contextmanager
def located(module: nn.Module) -> Iterator[Location]:
    """Follows the forward passes of ``module``."""
    location = Location()

    def enter(path: str) -> Callable[..., None]:
        return lambda *_: location.paths.append(path)

    # What a hook returns would stand for the module's output.
    def leave(*_: object) -> None:
        location.paths.pop()

    handles = []
    for path, child in module.named_modules():
        handles += [child.register_forward_pre_hook(enter(path)), child.register_forward_hook(leave)]
    try:
        yield location
    finally:
        for handle in handles:
            handle.remove()
