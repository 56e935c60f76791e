"""Clients of a Triton server: requests from a common list, by one client or by several at a time, and what they cost."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import psutil

from instantstyle.metrics.statistics import can_carry
from instantstyle.model.graph import Arrays
from instantstyle.targets.triton.client import Client
from instantstyle.targets.triton.server import Server


@dataclass(frozen=True)
class Request:
    """What is asked of which model."""

    model: str
    inputs: Arrays


@dataclass(frozen=True)
class Turn:
    """One turn of one contestant.

    Attributes:
        latencies_ms: of each request.
        seconds: from the first request to the last answer.
        server_s, clients_s: processor seconds that the server and this process took.
        elsewhere: share of the machine's processors that others took.
    """

    latencies_ms: tuple[float, ...]
    seconds: float
    server_s: float
    clients_s: float
    elsewhere: float

    @property
    def per_second(self) -> float:
        """Requests that were answered."""
        return len(self.latencies_ms) / self.seconds


@dataclass(frozen=True)
class Row:
    """All turns of a contestant.

    Attributes:
        per_second: median of the turns.
        ratio, ratio_low, ratio_high: requests per second over the baseline's in the same round: median, and the extremes.
        p50_ms, p95_ms: of all requests; the latter None where there are too few.
        server_s: processor seconds of the server for a request.
        cores: that server and clients had, on average.
        elsewhere: share of the machine that others took, median.
    """

    name: str
    clients: int
    requests: int
    per_second: float
    ratio: float
    ratio_low: float
    ratio_high: float
    p50_ms: float
    p95_ms: float | None
    server_s: float
    cores: float
    elsewhere: float


def turn(server: Server, requests: Sequence[Request], clients: int) -> Turn:
    """Each client takes the next request as soon as it has its answer; one request of each model before is not counted.

    Raises:
        ExecutionError: the server refused one.
    """
    connections = [server.client() for _ in range(clients)]
    for request in {each.model: each for each in requests}.values():
        connections[0].infer(request.model, request.inputs)
    waiting, latencies, failed = deque(requests), [], []

    def work(client: Client) -> None:
        while waiting and not failed:
            try:
                request = waiting.popleft()
            except IndexError:
                return
            start = time.perf_counter()
            try:
                client.infer(request.model, request.inputs)
            except Exception as error:  # raised again below: a thread's own goes nowhere
                failed.append(error)
            latencies.append(1000 * (time.perf_counter() - start))

    threads = [threading.Thread(target=work, args=(client,)) for client in connections]
    before, start = _used(server), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds, after = time.perf_counter() - start, _used(server)
    for client in connections:
        client.close()
    if failed:
        raise failed[0]
    served, own, everything, available = (one - other for one, other in zip(after, before, strict=True))
    return Turn(tuple(latencies), seconds, served, own, min(1.0, max(0.0, (everything - served - own) / max(available, 1e-9))))


def _used(server: Server) -> tuple[float, float, float, float]:
    """Processor seconds since some moment: of the server, of this process, of everything, and there to be used."""
    served = sum(sum(process.cpu_times()[:2]) for process in server.processes())
    times = psutil.cpu_times()
    available = sum(getattr(times, name) for name in times._fields if not name.startswith("guest"))
    return served, time.process_time(), available - times.idle - getattr(times, "iowait", 0.0), available


def summary(name: str, clients: int, turns: Sequence[Turn], baseline: Sequence[Turn]) -> Row:
    """What the turns of a contestant say beside those of its baseline in the same rounds."""
    ratios = [one.per_second / other.per_second for one, other in zip(turns, baseline, strict=True)]
    latencies = np.concatenate([each.latencies_ms for each in turns])
    count = latencies.size
    return Row(
        name=name,
        clients=clients,
        requests=count,
        per_second=float(np.median([each.per_second for each in turns])),
        ratio=float(np.median(ratios)),
        ratio_low=min(ratios),
        ratio_high=max(ratios),
        p50_ms=float(np.median(latencies)),
        p95_ms=float(np.percentile(latencies, 95)) if can_carry(95, count) else None,
        server_s=sum(each.server_s for each in turns) / count,
        cores=sum(each.server_s + each.clients_s for each in turns) / sum(each.seconds for each in turns),
        elsewhere=float(np.median([each.elsewhere for each in turns])),
    )
