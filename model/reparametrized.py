"""Weights that a file stores in another form than the module: weight norm and spectral norm, old and new names, or plain.

The forms are PyTorch's: ``torch.nn.utils.weight_norm`` keeps ``weight_g`` and ``weight_v``, ``torch.nn.utils.parametrizations.weight_norm``
``parametrizations.weight.original0`` and ``original1`` (Salimans & Kingma 2016, w = g v / |v|); spectral norm (Miyato et al. 2018,
w = W / u'Wv) likewise.
"""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Form(Enum):
    """A parametrisation: new and old name of each of its tensors, by the module's path (with a dot at its end) and the parameter."""

    WEIGHT_NORM = (("{0}parametrizations.{1}.original0", "{0}{1}_g"), ("{0}parametrizations.{1}.original1", "{0}{1}_v"))
    SPECTRAL_NORM = (
        ("{0}parametrizations.{1}.original", "{0}{1}_orig"),
        ("{0}parametrizations.{1}.0._u", "{0}{1}_u"),
        ("{0}parametrizations.{1}.0._v", "{0}{1}_v"),
    )

    @property
    def title(self) -> str:
        """For messages."""
        return self.name.lower().replace("_", " ")


class Place(NamedTuple):
    """What the name of a form's first tensor says."""

    form: Form
    path: str
    parameter: str

    @property
    def plain(self) -> str:
        """The name of the weight that the form makes."""
        return f"{self.path}{self.parameter}"

    @property
    def names(self) -> list[list[str]]:
        """New and old name of each tensor."""
        return [[name.format(self.path, self.parameter) for name in both] for both in self.form.value]


def as_wanted(tensors: Mapping[str, Tensor], module: nn.Module) -> tuple[dict[str, Tensor], str]:
    """The tensors in the form that ``module`` stores them in, and what was done, in words, or nothing.

    Exact: every weight has the value that its parametrisation computes from what is stored.
    """
    wanted, found = {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}, dict(tensors)
    done: dict[str, None] = {}
    for name in tensors:
        place = None if name in wanted else _place(name)
        if place is None:
            continue
        stored = [next((own for own in both if own in found), None) for both in place.names]
        kind = next((kind for kind, own in enumerate(place.names[0]) if own in wanted), None)
        if None in stored or (kind is None and place.plain not in wanted):
            continue
        values = [found.pop(own) for own in stored if own is not None]
        if kind is not None:
            found |= {both[kind]: value for both, value in zip(place.names, values, strict=True)}
            done[f"{place.form.title}: old names made new, or new ones old"] = None
        else:
            found[place.plain] = _normed(*values) if place.form is Form.WEIGHT_NORM else _spectral(*values, module=module, path=place.path)
            done[f"{place.form.title} folded into the weights"] = None
    for name, scale in wanted.items():
        place = None if name in found else _place(name)
        if place is None or place.form is not Form.WEIGHT_NORM or place.plain in wanted or place.plain not in found:
            continue
        direction = next((own for own in place.names[1] if own in wanted), None)
        if direction is not None and wanted[direction].shape == found[place.plain].shape:
            # v is the weight and g its norm: g / |v| is 1.
            found[direction] = found.pop(place.plain)
            found[name] = _norm(found[direction], scale)
            done["plain weights given the two tensors of weight norm"] = None
    return found, ", ".join(done)


def _place(name: str) -> Place | None:
    """Of the first tensor of a form, None of other names."""
    firsts = {"original0": Form.WEIGHT_NORM, "g": Form.WEIGHT_NORM, "original": Form.SPECTRAL_NORM, "orig": Form.SPECTRAL_NORM}
    if "parametrizations." in name:
        path, _, rest = name.rpartition("parametrizations.")
        parameter, _, last = rest.rpartition(".")
    else:
        head, dot, own = name.rpartition(".")
        path = head + dot
        parameter, _, last = own.rpartition("_")
    return Place(firsts[last], path, parameter) if parameter and last in firsts else None


def _norm(direction: Tensor, like: Tensor) -> Tensor:
    """|v| over the dimensions in which ``like``, a scale, has one element; over all for a scale without dimensions."""
    over = [axis for axis in range(direction.dim()) if like.dim() == 0 or like.shape[axis] == 1]
    return torch.linalg.vector_norm(direction, dim=over, keepdim=like.dim() > 0)


def _normed(scale: Tensor, direction: Tensor) -> Tensor:
    scale, direction = _wide(scale), _wide(direction)
    return direction * (scale / _norm(direction, scale))


def _spectral(weight: Tensor, left: Tensor, right: Tensor, module: nn.Module, path: str) -> Tensor:
    weight, left, right = _wide(weight), _wide(left), _wide(right)
    # Rows are output channels, which transposed convolutions have second.
    layer = module.get_submodule(path.rstrip("."))
    transposed = isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d)
    matrix = (weight.transpose(0, 1) if transposed else weight).flatten(1)
    return weight / torch.dot(left, torch.mv(matrix, right))


def _wide(value: Tensor) -> Tensor:
    """Half precision as float32: what is computed from it is not rounded to it."""
    return value.float() if value.dtype.itemsize < torch.float32.itemsize else value
