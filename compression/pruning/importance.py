"""What a channel or a head matters: how far the graph's output moves without it, to first order, on real images.

The derivative of a random projection of the output by a factor on the unit, squared and averaged over projections and images, is
the squared change of the output if the unit went (Hutchinson's estimate). For heads it is the gradient importance of Michel et al.
2019 (arXiv:1905.10650), with the output itself in place of a task's loss.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ...model.graph import Arrays, Graph
from .channels import ChannelGroup, channel_scores

PROJECTIONS = 4


def importance(
    module: nn.Module,
    graph: Graph,
    *,
    inputs: Sequence[Arrays],
    groups: Sequence[ChannelGroup],
    say: Callable[[int, int], None],
    seed: int = 0,
) -> dict[str, Tensor]:
    """(width,) of every group by name, as a share of the output's own mean square.

    Args:
        module: of ``graph``, perhaps with heads exposed; its gradients are left empty.
        inputs: of the graph, batch 1.
        say: called with passes done and of how many.
    """
    generator = torch.Generator().manual_seed(seed)
    totals = {group.name: torch.zeros(group.width, dtype=torch.float64) for group in groups}
    frozen = [parameter for parameter in module.parameters() if not parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad = True
    total = len(inputs) * PROJECTIONS
    for index, arrays in enumerate(inputs):
        tensors = [torch.from_numpy(arrays[spec.name]) for spec in graph.inputs]
        for projection in range(PROJECTIONS):
            outputs = module(*(tensor.clone() for tensor in tensors))  # it may change them in place
            flat = torch.cat([output.flatten() for output in ((outputs,) if isinstance(outputs, Tensor) else outputs)])
            direction = torch.randn(flat.shape, generator=generator) / flat.detach().norm().clamp(min=1e-9)
            module.zero_grad(set_to_none=True)
            (flat * direction).sum().backward()
            for group in groups:
                totals[group.name] += channel_scores(module, group).double().square() / total
            say(index * PROJECTIONS + projection + 1, total)
    module.zero_grad(set_to_none=True)
    for parameter in frozen:
        parameter.requires_grad = False
    return {name: score.float() for name, score in totals.items()}
