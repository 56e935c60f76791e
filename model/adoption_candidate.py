"""A set of tensors in a checkpoint that could be the weights of a model."""

from dataclasses import dataclass

from torch import Tensor

WHOLE = "."
# What wraps a model in a training framework's names: behind one of these other networks and losses may lie beside the model.
WRAPPERS = frozenset(
    ("module _orig_mod model net network generator gen G netG net_g".split())
    + "g_ema G_ema ema ema_model model_ema module_ema student state_dict".split()
)


@dataclass(frozen=True)
class Candidate:
    """Tensors of a file that may be the model's.

        Attributes:
            place: the key in the file, dotted; empty for all of the file.
            prefix: of their names, with a dot at its end, or empty.
            tensors: as the model names them.
            problems: why they do not fit, a line each; empty if they do.
            left_out: other tensors at the same place.
            notes: what was done to them.
    # What wraps a model in a training framework's names: behind one of these other networks and losses may lie beside the model.
    WRAPPERS = frozenset(
        ("module _orig_mod model net network generator gen G netG net_g".split())
        + "g_ema G_ema ema ema_model model_ema module_ema student state_dict".split()
    )


    """

    place: str
    prefix: str
    tensors: dict[str, Tensor]
    problems: tuple[str, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def key(self) -> str:
        """What ``checkpoint_key`` calls it."""
        return ".".join(filter(None, (self.place, self.prefix.rstrip(".")))) or WHOLE

    @property
    def trusted(self) -> bool:
        """Whether the prefix is that of a known wrapper, or all names have it: else it may be a part of a larger model."""
        return not self.left_out or all(part in WRAPPERS for part in self.prefix.rstrip(".").split("."))
