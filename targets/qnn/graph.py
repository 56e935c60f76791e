"""What QNN makes of a graph, read from the JSON that its provider writes beside a compilation."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Types of tensors as QnnTypes.h numbers them: signed and unsigned fixed point of 8 bits.
EIGHT_BITS = frozenset({0x0308, 0x0408})
CONVOLUTIONS = frozenset(
    {"Conv1d", "Conv2d", "Conv3d", "DepthWiseConv1d", "DepthWiseConv2d", "TransposeConv1d", "TransposeConv2d", "TransposeConv3d"}
)


@dataclass(frozen=True)
class QNNGraph:
    """Operations of a compiled graph.

    Attributes:
        kinds: how many there are of each kind, most frequent first.
        int8: names of the convolutions whose input, weight and output have 8 bits.
        floats: names of the others.
    """

    kinds: tuple[tuple[str, int], ...]
    int8: tuple[str, ...]
    floats: tuple[str, ...]


def read_graph(folder: Path) -> QNNGraph:
    """Of all graphs that were written into a folder.

    Raises:
        ValueError: there is none in it.
    """
    contents = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    # Beside each graph lies a list of its tensors.
    graphs = [content["graph"] for content in contents if "graph" in content]
    if not graphs:
        raise ValueError("QNN wrote down no graph")
    kinds: Counter[str] = Counter()
    int8, floats = [], []
    for graph in graphs:
        for name, node in graph["nodes"].items():
            kinds[node["type"]] += 1
            if node["type"] in CONVOLUTIONS:
                (int8 if _is_int8(node, graph["tensors"]) else floats).append(name)
    return QNNGraph(tuple(kinds.most_common()), tuple(int8), tuple(floats))


def _is_int8(node: dict[str, Any], tensors: dict[str, Any]) -> bool:
    return all(tensors[name]["data_type"] in EIGHT_BITS for name in (*node["input_names"][:2], *node["output_names"]))
