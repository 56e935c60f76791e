"""A captured graph in the one form that quantisation and targets know."""

from collections.abc import Sequence

from torch import Tensor
from torch.fx import GraphModule

from .bound_masks import bound_masks
from .constant_weights import fold_constant_weights
from .drop_dropout import drop_dropout
from .fold_batch_norm import fold_batch_norm
from .fold_scales import fold_scales
from .functionalize import functionalize
from .initialize_memory import initialize_memory
from .instance_statistics import place_statistics
from .join_slices import join_slices
from .merge_equal_calls import merge_equal_calls
from .nodes import copied, set_origin
from .slice_channels import slice_channels
from .whole_windows import pool_whole_windows


def normalize(captured: GraphModule, inputs: Sequence[Tensor]) -> GraphModule:
    """A graph that computes what ``captured`` does, which stays as it is, tensors included.

    It has no dropout, no batch norm, no instance norm with running statistics, no change in place, no memory without a value, no mask
    that float16 cannot hold, no split of channels and no repeated call; weights of convolutions and linear layers are parameters
    wherever no input has a part in them, constant factors behind convolutions included. Every node that has the value of one in
    ``captured`` knows its name (``nodes.origin``).

    Args:
        inputs: of the shapes that the graph was captured with.

    Raises:
        CaptureError: names the module that has no such form.
    """
    module = copied(captured)
    for node in module.graph.nodes:
        if node.op in ("placeholder", "call_function"):
            set_origin(node, node.name)
    drop_dropout(module)
    initialize_memory(module)
    place_statistics(module)
    fold_constant_weights(module)
    fold_batch_norm(module)
    pool_whole_windows(module)
    module = functionalize(module, inputs)
    join_slices(module)
    slice_channels(module)
    fold_scales(module)
    module = bound_masks(module, inputs)
    merge_equal_calls(module)
    _drop_unused_tensors(module)
    return module


def _drop_unused_tensors(module: GraphModule) -> None:
    """Takes out parameters and buffers that no node reads, so that nobody trains or stores them."""
    used = {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}
    for name, _ in [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]:
        if name not in used:
            owner, _, last = name.rpartition(".")
            delattr(module.get_submodule(owner), last)
