"""What a file's graph consists of, where its runtime does not tell what it executes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Census:
    """Operations of a graph.

    Attributes:
        convolutions: how many there are.
        int8_convolutions: those of them that have int8 weights and int8 inputs.
        kinds: how many operations of each kind compute, most frequent first.
        floats: names of the convolutions that are not int8.
    """

    convolutions: int
    int8_convolutions: int
    kinds: tuple[tuple[str, int], ...]
    floats: tuple[str, ...] = ()
