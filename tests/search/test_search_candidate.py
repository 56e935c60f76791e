"""Frontier, winner, and the sentences for a budget that nothing keeps."""

from itertools import pairwise

import numpy as np
import pytest

from instantstyle.search.candidate import Budget, Candidate, best, frontier, shortfall
from instantstyle.search.report import candidate_rows


def candidate(number: int, size_bytes: int, ssim: float, p50_ms: float = 10.0) -> Candidate:
    return Candidate(number, {}, {}, (), size_bytes, ssim, ssim - 0.1, p50_ms, 1.0)


CANDIDATES = (
    candidate(0, 1000, 0.99, 20),
    candidate(1, 500, 0.95, 10),
    candidate(2, 500, 0.94, 9),
    candidate(3, 600, 0.94, 12),  # number 1 is smaller, closer and faster
    candidate(4, 200, 0.80, 5),
)


def test_frontier_against_all_pairs() -> None:
    random = np.random.default_rng(0)
    many = [candidate(i, int(size), float(s), float(t)) for i, (size, s, t) in enumerate(random.integers(1, 12, (200, 3)) / [1, 12, 1])]
    found = {c.number for c in frontier(many)}
    rows = np.array([(c.size_bytes, -c.ssim_mean, c.p50_ms) for c in many])
    # Column j beats row i: nowhere worse, and not the same.
    smaller, different = (rows[None] <= rows[:, None]).all(axis=2), (rows[None] != rows[:, None]).any(axis=2)
    beaten = (smaller & different).any(axis=1)
    assert found == set(np.flatnonzero(~beaten))
    assert all(a.size_bytes <= b.size_bytes for a, b in pairwise(frontier(many)))
    assert [c.number for c in frontier(CANDIDATES)] == [4, 1, 2, 0]


@pytest.mark.parametrize(
    ("budget", "winner"),
    [
        (Budget(700, 0.9), 1),
        (Budget(1000, 0.9), 0),
        (Budget(1000, 0.9, 9.5), 2),
        (Budget(300, 0.7), 4),
        (Budget(500, 0.95, 10.0), 1),  # a limit that is just reached is kept
        (Budget(300, 0.9), None),
    ],
)
def test_winner_is_the_most_similar_that_keeps_all(budget: Budget, winner: int | None) -> None:
    found = best(CANDIDATES, budget)
    assert (found.number if found else None) == winner


def test_nan_keeps_no_limit() -> None:
    broken, budget = candidate(1, 500, float("nan")), Budget(700, 0.9)
    assert not budget.kept(broken) and best([broken], budget) is None
    (row,) = candidate_rows([broken], budget)
    assert row[-1] == "misses --min-ssim"


@pytest.mark.parametrize(
    ("budget", "sentences"),
    [
        (
            Budget(1, 1.0),
            [
                "--max-bytes 1: no candidate was that small; the smallest has 200 bytes (SSIM 0.8000, number 4)",
                "--min-ssim 1: no candidate came that close; the closest has SSIM 0.9900 (1,000 bytes, number 0)",
            ],
        ),
        (Budget(2000, 0.5, 1.0), ["--max-latency-ms 1: no candidate was that fast; the fastest takes 5.0 ms (SSIM 0.8000, number 4)"]),
        (
            Budget(500, 0.96),
            [
                "every limit was kept by some candidate, but no candidate kept all; number 1 came nearest and missed --min-ssim: "
                "500 bytes, SSIM 0.9500, 10.0 ms"
            ],
        ),
    ],
)
def test_impossible_budget_is_explained(budget: Budget, sentences: list[str]) -> None:
    assert list(shortfall(CANDIDATES, budget)) == sentences
