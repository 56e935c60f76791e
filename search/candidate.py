"""What a search tries and what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """What a candidate must keep; None where nothing is asked."""

    max_bytes: int
    min_ssim: float
    max_latency_ms: float | None = None

    def excess(self, candidate: "Candidate") -> dict[str, float]:
        """By how much a candidate misses each limit, as a share of the limit; 0 or less where it is kept."""
        found = {"--max-bytes": candidate.size_bytes / self.max_bytes - 1, "--min-ssim": (self.min_ssim - candidate.ssim_mean)}
        if self.max_latency_ms is not None:
            found["--max-latency-ms"] = candidate.p50_ms / self.max_latency_ms - 1
        return found

    def kept(self, candidate: "Candidate") -> bool:
        """Whether every limit is kept."""
        return all(excess <= 0 for excess in self.excess(candidate).values())


@dataclass(frozen=True)
class Candidate:
    """A model in one shape, emitted and measured.

    Attributes:
        channels, heads: shares to remove, as ``[prune]`` of a recipe takes them.
        keep_float: modules that are not int8.
        size_bytes: of the files that an app ships.
        ssim_mean, ssim_worst: over calibration pairs, to the whole float model.
        p50_ms: of the graph that runs once per image.
        over_whole: times faster than the unpruned artifact in the same run.
    """

    number: int
    channels: Mapping[str, float]
    heads: Mapping[str, float]
    keep_float: tuple[str, ...]
    size_bytes: int
    ssim_mean: float
    ssim_worst: float
    p50_ms: float
    over_whole: float


def frontier(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Those that no other one beats in bytes, SSIM and latency at once, smallest first."""

    def beats(one: Candidate, other: Candidate) -> bool:
        left, right = ((c.size_bytes, -c.ssim_mean, c.p50_ms) for c in (one, other))
        return left != right and all(a <= b for a, b in zip(left, right, strict=True))

    found = [candidate for candidate in candidates if not any(beats(other, candidate) for other in candidates)]
    return tuple(sorted(found, key=lambda candidate: candidate.size_bytes))


def best(candidates: Sequence[Candidate], budget: Budget) -> Candidate | None:
    """The most similar one that keeps every limit."""
    return max((candidate for candidate in candidates if budget.kept(candidate)), key=lambda candidate: candidate.ssim_mean, default=None)


def shortfall(candidates: Sequence[Candidate], budget: Budget) -> tuple[str, ...]:
    """Why no candidate is good enough: a sentence for each limit that none kept, or for limits that exclude each other."""
    sentences = []
    if not any(budget.excess(candidate)["--max-bytes"] <= 0 for candidate in candidates):
        least = min(candidates, key=lambda candidate: candidate.size_bytes)
        sentences.append(
            f"--max-bytes {budget.max_bytes:,}: no candidate was that small; the smallest has {least.size_bytes:,} bytes "
            f"(SSIM {least.ssim_mean:.4f}, number {least.number})"
        )
    if not any(budget.excess(candidate)["--min-ssim"] <= 0 for candidate in candidates):
        most = max(candidates, key=lambda candidate: candidate.ssim_mean)
        sentences.append(
            f"--min-ssim {budget.min_ssim:g}: no candidate came that close; the closest has SSIM {most.ssim_mean:.4f} "
            f"({most.size_bytes:,} bytes, number {most.number})"
        )
    if budget.max_latency_ms is not None and not any(budget.excess(candidate)["--max-latency-ms"] <= 0 for candidate in candidates):
        fastest = min(candidates, key=lambda candidate: candidate.p50_ms)
        sentences.append(
            f"--max-latency-ms {budget.max_latency_ms:g}: no candidate was that fast; the fastest takes {fastest.p50_ms:.1f} ms "
            f"(SSIM {fastest.ssim_mean:.4f}, number {fastest.number})"
        )
    if not sentences:
        nearest = min(candidates, key=lambda candidate: max(budget.excess(candidate).values()))
        missed = ", ".join(name for name, excess in budget.excess(nearest).items() if excess > 0)
        sentences.append(
            f"every limit was kept by some candidate, but no candidate kept all; number {nearest.number} came nearest and missed {missed}: "
            f"{nearest.size_bytes:,} bytes, SSIM {nearest.ssim_mean:.4f}, {nearest.p50_ms:.1f} ms"
        )
    return tuple(sentences)
