"""The smallest net that still fails in the same way."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from net_kinds import KINDS
from net_property import FORMS, Form, Outcome, check
from net_spec import Block, Net

Try = Callable[[Net, Sequence[Form]], Sequence[Outcome]]


def shrink(net: Net, outcome: Outcome, forms: Sequence[Form] = FORMS, tried: Try = check) -> tuple[Net, Outcome]:
    """Drops and replaces parts for as long as ``outcome``'s step fails as it did; what it then says is returned as well."""
    wanted = tuple(form for form in forms if str(form) == outcome.step)
    failure = _class(outcome)
    smaller: Net | None = net
    while smaller is not None:
        net, smaller = smaller, None
        for candidate in _candidates(net):
            found = next((found for found in tried(candidate, wanted) if _class(found) == failure), None)
            if found is not None:
                smaller, outcome = candidate, found
                break
    return net, outcome


def _class(outcome: Outcome) -> tuple[str, str, str]:
    return outcome.step, outcome.kind, outcome.detail.partition(":")[0] if outcome.kind != "wrong" else ""


def _candidates(net: Net) -> Iterator[Net]:
    """Simpler nets, the smallest first."""
    leaves = [leaf for block in net.blocks for leaf in _leaves(block)]
    plain = replace(net, head="conv", tail="tanh", up="nearest", scale=1, size=(32, 32), blocks=())
    simpler = [plain]
    if len(leaves) > 1 or len(net.blocks) > 1 or net.blocks != tuple(leaves) or net != replace(plain, blocks=net.blocks):
        simpler += [replace(plain, blocks=(leaf,)) for leaf in leaves]
    simpler += [replace(net, blocks=net.blocks[:index] + net.blocks[index + 1 :]) for index in range(len(net.blocks))]
    simpler += [
        replace(net, blocks=(*net.blocks[:index], *block.inner, *net.blocks[index + 1 :]))
        for index, block in enumerate(net.blocks)
        if block.inner
    ]
    simpler += [
        replace(net, blocks=(*net.blocks[:index], _plain_inside(block), *net.blocks[index + 1 :]))
        for index, block in enumerate(net.blocks)
        if block.inner
    ]
    simpler += [replace(net, **{part: getattr(plain, part)}) for part in ("head", "tail", "scale", "size", "up")]
    yield from dict.fromkeys(candidate for candidate in simpler if candidate != net)


def _leaves(block: Block) -> Iterator[Block]:
    if KINDS[block.kind].inner == 0:
        yield block
    for inner in block.inner:
        yield from _leaves(inner)


def _plain_inside(block: Block) -> Block:
    return replace(block, inner=tuple(Block("mix.nothing", 0) for _ in block.inner))
