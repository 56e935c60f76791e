"""``make bench-networks``: int8 of eight trained networks of different families, by this project and by the best other tools.

Each network is quantised by all of them on the same calibration photos, opened in the runtimes, compared with the float network in
PyTorch on photos that nothing was fitted on, and timed turn by turn in one run. What is worse is printed as worse.
"""

import argparse
import hashlib
import json
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import torch
from network_contestants import SIZE, Contestant, Prepared, prepare
from network_peers import PEERS
from network_table import BASELINE, Result, Row, summary, table
from network_training import NETWORKS, ROOT, Network, Photos, trained
from torch import nn

from instantstyle.metrics.ssim import ssim
from instantstyle.metrics.statistics import ratio_of_medians
from instantstyle.model.graph import Run, scenario_output
from instantstyle.model.runs import graph_inputs, runs_from_modules
from instantstyle.system.disk import atomic_write
from instantstyle.system.errors import InstantStyleError
from instantstyle.validation.measure.latency import LoadMeter, interleave
from instantstyle.validation.results.timing import Machine

RESULTS = ROOT / "benchmarks/results"
CACHE = ROOT / ".instantstyle/networks"
QUICK_STEPS, QUICK_PHOTOS = 20, 2


def result_of(network: Network, module: nn.Module, prepared: Prepared, threads: int, runs: int) -> Result:
    """All contestants of one network. ``runs`` of each are timed; with 0 nothing is."""
    model, refused = prepared.model, dict(prepared.refused)
    reference = runs_from_modules(model)
    references = [model.scenario(reference, sample.inputs)[0] for sample in prepared.samples]
    (fed,) = graph_inputs(model, prepared.samples[:1])
    inputs = {name: np.ascontiguousarray(value, np.float32) for name, value in fed[model.hot_graph].items()}
    with ExitStack() as stack:
        opened: dict[str, tuple[Contestant, Mapping[str, Run], int, int]] = {}
        for each in prepared.contestants:
            try:
                opened[each.name] = (each, *each.open(stack, threads))
            except Exception as error:  # a runtime that cannot open another tool's file raises whatever it likes
                refused[each.name] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        passes = [partial(graphs[model.hot_graph], inputs) for _, graphs, _, _ in opened.values()]
        times = dict(zip(opened, interleave(passes, 3, runs), strict=True)) if runs else {}
        output, rows = scenario_output(model), []
        for contestant, graphs, int8, convolutions in opened.values():
            pictures = [model.scenario(graphs, sample.inputs)[0] for sample in prepared.samples]
            scores = [ssim(one, other, output.minimum, output.maximum) for one, other in zip(references, pictures, strict=True)]
            share = _ratio(times, contestant.name, BASELINE)
            peers = [other for other, *_ in opened.values() if not other.ours and other.runtime == contestant.runtime]
            against = (
                {other.name: ratio for other in peers if (ratio := _ratio(times, other.name, contestant.name))} if contestant.ours else {}
            )
            quality = float(np.mean(scores)), float(min(scores))
            rows.append(
                Row(
                    contestant.name,
                    contestant.runtime,
                    contestant.ours,
                    contestant.shipped_bytes,
                    int8,
                    convolutions,
                    *quality,
                    share,
                    against,
                )
            )
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return Result(network.name, network.family, parameters, tuple(rows), refused)


def _ratio(times: Mapping[str, np.ndarray], numerator: str, denominator: str) -> tuple[float, float, float] | None:
    if numerator not in times or denominator not in times:
        return None
    ratio = ratio_of_medians(times[numerator], times[denominator])
    return ratio.value, ratio.low, ratio.high


def report(results: Sequence[Result], machine: Machine, timed: bool) -> str:
    """The page."""
    versions = ", ".join(dict.fromkeys(part for peer in PEERS for part in peer.versions.split(", ")))
    busy = "" if machine.busy_elsewhere is None else f", other processes took {machine.busy_elsewhere:.0%} of it"
    times = (
        f"{machine.threads} threads, load {machine.load_before:.1f} before and {machine.load_after:.1f} after{busy}"
        if timed
        else "times not measured"
    )
    lines = [
        "# Int8 of trained networks, by this project and by other tools",
        "",
        f"{machine.cpu}, {machine.cores} cores, {times}; {SIZE[0]}x{SIZE[1]} in; torch {torch.__version__}, {versions}.",
        "",
        "Quantised after training on the same 24 photos; SSIM to the float network in PyTorch on other photos. What is in bold is ours.",
        "",
        *summary(results),
    ]
    return "\n".join([*lines, *(line for result in results for line in table(result))]) + "\n"


def main() -> None:
    """Exit code 2 for wrong input."""
    names = [network.name for network in NETWORKS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"all by default: {', '.join(names)}")
    parser.add_argument("--cache", type=Path, default=CACHE, help="for weights and files")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=30, help="timed passes of each contestant; 0 measures no times")
    parser.add_argument("--photos", type=int, default=12, help="of samples/validation, to compare on")
    parser.add_argument("--quick", action="store_true", help="trained for a few steps, two photos, no times: does it work at all?")
    parser.add_argument("--write", action="store_true", help="keep the page and the numbers in benchmarks/results")
    options = parser.parse_args()
    unknown = [name for name in options.networks if name not in names]
    try:
        if unknown:
            raise InstantStyleError(f"no network '{unknown[0]}'; there are {', '.join(names)}")
        _run(options)
    except InstantStyleError as error:
        print(f"bench-networks: {error}", file=sys.stderr)
        sys.exit(2)


def _run(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    runs, count = (0, QUICK_PHOTOS) if options.quick else (options.runs, options.photos)
    versions = {peer.name: peer.versions for peer in PEERS}  # so that one that is missing is missed at once
    options.cache.mkdir(parents=True, exist_ok=True)
    photos, made = Photos(options.cache.resolve()), []
    for network in NETWORKS:
        if not options.networks or network.name in options.networks:
            module = trained(network, photos, QUICK_STEPS if options.quick else None)
            folder = photos.cache / f"{network.name}-{_weights(module)}"
            folder.mkdir(exist_ok=True)
            made.append((network, module, prepare(network, module, folder, count)))
    # Everything is made before anything is timed.
    meter, results = LoadMeter(), []
    for network, module, prepared in made:
        results.append(result_of(network, module, prepared, options.threads, runs))
        print("\n".join(table(results[-1])), flush=True)
    machine = meter.machine(options.threads)
    text = report(results, machine, timed=runs > 0)
    print(text)
    if options.write:
        stem = f"networks-{date.today()}-{re.sub('[^a-z0-9]+', '-', (machine.cpu or platform.machine()).lower()).strip('-')}"
        content = {
            "machine": asdict(machine),
            "versions": versions,
            "networks": list(map(asdict, results)),
        }
        atomic_write(RESULTS / f"{stem}.json", json.dumps(content, indent=1) + "\n")
        atomic_write(RESULTS / f"{stem}.md", text)


def _weights(module: nn.Module) -> str:
    """Which weights these are, and with what structure."""
    tensors = b"".join(value.numpy().tobytes() for value in module.state_dict().values())
    return hashlib.sha256(str(module).encode() + tensors).hexdigest()[:12]


if __name__ == "__main__":
    main()
