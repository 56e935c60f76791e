"""From a number to a net. Kinds are dealt like cards, so that a few dozen nets have every family and a hundred every kind."""

import random

from net_ends import FUNCTIONS, HEADS, UPSAMPLINGS
from net_kinds import KINDS
from net_spec import Block, Net

SIZES = ((32, 32), (32, 48), (48, 32), (64, 32))
WIDTHS = (8, 12, 16, 24)
CARDS, WRAPPERS = 4, 1  # kinds a net


def generate(number: int) -> Net:
    """Net ``number``, always the same one for the same set of kinds."""
    chance = random.Random(f"net {number}")
    leaves = _deal("leaves", [name for name, kind in KINDS.items() if not kind.inner], number, CARDS)
    wrappers = _deal("wrappers", [name for name, kind in KINDS.items() if kind.inner], number, WRAPPERS)
    blocks = [Block(name, chance.randrange(1000)) for name in leaves]
    for name in wrappers:
        count = KINDS[name].inner
        inner = [blocks.pop(chance.randrange(len(blocks))) for _ in range(min(count, len(blocks) - 1))]
        if len(inner) < count:
            blocks += inner
            continue
        blocks.insert(chance.randrange(len(blocks) + 1), Block(name, chance.randrange(1000), tuple(inner)))
    (head,) = _deal("heads", list(HEADS), number, 1)
    (tail,) = _deal("tails", list(FUNCTIONS), number, 1)
    scale = chance.choice((1, 1, 1, 2, 4) if HEADS[head][1] == 1 else (1, 1, 2))
    return Net(chance.choice(SIZES), chance.choice(WIDTHS), scale, head, tuple(blocks), chance.choice(UPSAMPLINGS), tail)


def _deal(pack: str, cards: list[str], hand: int, count: int) -> list[str]:
    """``count`` cards for a hand: one shuffled pack after the other, the hands in order."""
    dealt = []
    for position in range(hand * count, (hand + 1) * count):
        shuffled = sorted(cards)
        random.Random(f"{pack} {position // len(cards)}").shuffle(shuffled)
        dealt.append(shuffled[position % len(cards)])
    return dealt
