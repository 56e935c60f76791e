"""How far each module of an int8 program is from float, as data."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, TypeAdapter, with_config

from ...model.graph import Size
from .codec import STRICT

FILE = "losses.json"


@dataclass(frozen=True)
class ModuleLoss:
    """One module of one graph.

    Attributes:
        module_path: of the module whose output is compared.
        noise: energy of the difference to float over the energy of the float output, 1 / SNR; of all that went wrong up to here.
        noise_read: the largest noise among the modules whose outputs it reads; 0 if it reads inputs of the graph alone.
    """

    graph: str
    module_path: str
    noise: Annotated[float, Field(ge=0)]
    noise_read: Annotated[float, Field(ge=0)]


@with_config(STRICT)
@dataclass(frozen=True)
class ModuleLosses:
    """All modules at one size, in the order of execution."""

    size: Size
    modules: tuple[ModuleLoss, ...]


LOSSES = TypeAdapter(tuple[ModuleLosses, ...])
