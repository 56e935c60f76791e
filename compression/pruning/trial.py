"""Whether a network without some of its channels runs, and computes what the whole one does with these channels silenced.

Silenced: no product reads them, and statistics over channels (layer and group normalisation, pooling over channels) are of the others.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from ...system.errors import PruneError
from .channels import ChannelGroup, Channels, cut, find_channels
from .location import Location, located
from .trace import trace

# What two orders of float32 sums may differ by: shares of the output, and of what pruning changes in it.
OF_OUTPUT, OF_CHANGE = 1e-4, 1e-3
READINGS_TRIED = 8

Removed = Mapping[str, Sequence[int]]


def channel_groups(module: nn.Module, inputs: tuple[Tensor, ...], left_out: Callable[[ChannelGroup], bool] = lambda _: False) -> Channels:
    """All groups of ``module``, each tried: one whose removal breaks the network has an obstacle that says how.

    Args:
        left_out: groups that are no concern of the caller's; they are neither tried nor returned.

    Raises:
        PruneError: the module does not run.
    """
    found = _without(find_channels(module, inputs), left_out)
    refused = _tried(module, inputs, found)
    for name in list(refused):
        # Found anew, other groups may have gone with it.
        if name in refused and (other := _read_otherwise(module, inputs, found, name, left_out)):
            found, refused = other, _tried(module, inputs, other)
    return replace(found, groups=tuple(replace(group, obstacle=refused.get(group.name, "")) for group in found.groups))


def _tried(module: nn.Module, inputs: tuple[Tensor, ...], found: Channels) -> dict[str, str]:
    """Of every group that cannot be pruned why."""
    names = [group.name for group in found.groups if not group.obstacle]
    known = {group.name: group.obstacle for group in found.groups if group.obstacle}
    return known | isolate(lambda chosen: obstacle(module, inputs, found, _half(found, chosen)), names)[1]


def _without(found: Channels, left_out: Callable[[ChannelGroup], bool]) -> Channels:
    return replace(found, groups=tuple(group for group in found.groups if not left_out(group)))


def _half(found: Channels, names: Sequence[str]) -> dict[str, list[int]]:
    """About half of the channels of these groups, by chance, so that no symmetry hides a wrong pair."""
    generator = torch.Generator().manual_seed(0)
    widths = {group.name: group.width for group in found.groups}
    return {name: torch.randperm(widths[name], generator=generator)[: widths[name] // 2].tolist() for name in names}


def _read_otherwise(
    module: nn.Module, inputs: tuple[Tensor, ...], found: Channels, name: str, left_out: Callable[[ChannelGroup], bool]
) -> Channels | None:
    """The groups with other readings of the reshapes on the way of group ``name``, if it can be pruned with them."""
    (group,) = (group for group in found.groups if group.name == name)
    for turns in itertools.islice(_readings(group.sites), READINGS_TRIED):
        if all(found.turns.get(site, 0) == turn for site, turn in turns.items()):
            continue
        other = _without(find_channels(module, inputs, {**found.turns, **turns}), left_out)
        same = [new.name for new in other.groups if set(new.producers) & set(group.producers) and not new.obstacle]
        if same and not obstacle(module, inputs, other, _half(other, same)):
            return other
    return None


def _readings(sites: Sequence[tuple[int, int]]) -> Iterator[dict[int, int]]:
    """All alike first, then every mixture."""
    most = max((count for _, count in sites), default=0)
    for turn in range(most):
        yield {site: turn % count for site, count in sites}
    for mixture in itertools.product(*(range(count) for _, count in sites)):
        yield {site: turn for (site, _), turn in zip(sites, mixture, strict=True)}


def isolate(reason: Callable[[Sequence[str]], str], names: Sequence[str], accepted: Sequence[str] = ()) -> tuple[list[str], dict[str, str]]:
    """The names that work together, and of every other what is wrong with it, by halving.

    Args:
        reason: why a choice does not work, or empty.
        accepted: what works already.
    """
    if not names:
        return list(accepted), {}
    problem = reason([*accepted, *names])
    if not problem:
        return [*accepted, *names], {}
    if len(names) == 1:
        return list(accepted), {names[0]: problem}
    middle = len(names) // 2
    accepted, first = isolate(reason, names[:middle], accepted)
    accepted, second = isolate(reason, names[middle:], accepted)
    return accepted, first | second


def obstacle(module: nn.Module, inputs: tuple[Tensor, ...], found: Channels, removed: Removed) -> str:
    """What is wrong with ``module`` without the channels ``removed``, or empty."""
    if not removed:
        return ""
    location = Location()
    try:
        pruned = cut(module, found.groups, removed)
        with located(pruned) as location, torch.no_grad():
            got = _tensors(pruned(*inputs))
    except Exception as error:
        # Code that only runs with all channels may raise anything.
        return f"without some of them {location} fails: {_first_line(error)}"
    try:
        wanted = trace(module, inputs, found.turns, found.silent(removed)).outputs
    except Exception as error:
        # What is not computed the same way with silent channels cannot be told to be right.
        return f"what they do cannot be compared with them silenced: {_first_line(error)}"
    with torch.no_grad():
        whole = _tensors(module(*inputs))
    for one, other, before in zip(got, wanted, whole, strict=True):
        if one.shape != other.shape:
            return f"without some of them an output has the shape {tuple(one.shape)} instead of {tuple(other.shape)}"
        off = (one - other).abs().max().item()
        change = (other - before).abs().max().item()
        if not off <= max(OF_OUTPUT * other.abs().max().item(), OF_CHANGE * change):
            return f"without some of them the network computes something else than with them silenced (off by {off:.2g})"
    return ""


def remove_channels(
    module: nn.Module, inputs: tuple[Tensor, ...], found: Channels, keep: Mapping[str, Tensor]
) -> tuple[nn.Module, dict[str, str]]:
    """A copy of ``module`` without the channels that ``keep`` leaves out, and of every group that had to stay whole why; checked.

    Args:
        inputs: to check with.
        keep: indices to keep by group name; other groups stay whole.
    """
    widths = {group.name: group.width for group in found.groups}
    removed = {
        name: [channel for channel in range(widths[name]) if channel not in set(kept.tolist())]
        for name, kept in keep.items()
        if len(kept) < widths[name]
    }
    accepted, refused = isolate(lambda names: obstacle(module, inputs, found, {name: removed[name] for name in names}), list(removed))
    chosen = {name: removed[name] for name in accepted}
    return (cut(module, found.groups, chosen) if chosen else module), refused


def remove_all(module: nn.Module, inputs: tuple[Tensor, ...], found: Channels, keep: Mapping[str, Tensor]) -> nn.Module:
    """As ``remove_channels``, of all groups or of none.

    Raises:
        PruneError: one has to stay whole.
    """
    pruned, refused = remove_channels(module, inputs, found, keep)
    for name, reason in refused.items():
        raise PruneError(f"channels of '{name}' cannot be removed: {reason}")
    return pruned


def _tensors(result: object) -> list[Tensor]:
    return [value for value in tree_leaves(result) if isinstance(value, Tensor)]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
