"""Multi-head attention with fewer heads than its width has room for."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..system.errors import PruneError


class SlimAttention(nn.Module):
    """Stands for an ``nn.MultiheadAttention`` of which heads were removed, which that class cannot express.

    Args:
        attention: batch first or not, with one embedding width for query, key and value.

    Raises:
        PruneError: it has extra key and value biases, zero attention or other widths.
    """

    # That there is none tells nn.TransformerEncoderLayer not to run this attention by itself, all in one operation.
    in_proj_bias = None

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        if attention.in_proj_weight is None or attention.bias_k is not None or attention.add_zero_attn:
            raise PruneError("heads of an nn.MultiheadAttention with kdim, vdim, add_bias_kv or add_zero_attn cannot be removed")
        width, has_bias = attention.embed_dim, attention.in_proj_bias is not None
        self.batch_first, self.head_dim = attention.batch_first, attention.head_dim
        self.query, self.key, self.value = (nn.Linear(width, width, has_bias) for _ in range(3))
        for index, part in enumerate((self.query, self.key, self.value)):
            rows = slice(index * width, (index + 1) * width)
            part.weight = nn.Parameter(attention.in_proj_weight.detach()[rows].clone())
            if has_bias:
                part.bias = nn.Parameter(attention.in_proj_bias.detach()[rows].clone())
        self.out_proj = nn.Linear(width, width, attention.out_proj.bias is not None)
        self.out_proj.load_state_dict(attention.out_proj.state_dict())

    @property
    def heads(self) -> int:
        """How many there are."""
        return self.query.out_features // self.head_dim

    @property
    def reader(self) -> str:
        """Name of the layer that reads the heads' outputs."""
        return "out_proj"

    def keep_heads(self, indices: Sequence[int]) -> None:
        """Removes the other heads' weights for good."""
        rows = torch.cat([torch.arange(index * self.head_dim, (index + 1) * self.head_dim) for index in indices])
        for part in (self.query, self.key, self.value):
            part.weight = nn.Parameter(part.weight.detach()[rows])
            if part.bias is not None:
                part.bias = nn.Parameter(part.bias.detach()[rows])
            part.out_features = len(rows)
        self.out_proj.weight = nn.Parameter(self.out_proj.weight.detach()[:, rows])
        self.out_proj.in_features = len(rows)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, need_weights: bool = False, **masks: object) -> tuple[Tensor, None]:
        """As ``nn.MultiheadAttention`` without masks; it returns no weights, whatever is asked for.

        Raises:
            PruneError: there is a mask.
        """
        if given := [name for name in ("attn_mask", "key_padding_mask") if masks.get(name) is not None]:
            raise PruneError(f"heads of an nn.MultiheadAttention that is called with {given[0]} cannot be removed")
        split = [
            (part(x) if self.batch_first else part(x).transpose(0, 1)).unflatten(2, (self.heads, self.head_dim)).transpose(1, 2)
            for part, x in ((self.query, query), (self.key, key), (self.value, value))
        ]
        mixed = functional.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)
        out = self.out_proj(mixed)
        return (out if self.batch_first else out.transpose(0, 1)), None
