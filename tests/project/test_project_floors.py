"""The house: a package imports only from floors below its own, and no files import each other in a circle."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# From the bottom; packages on one floor do not import each other.
FLOORS = (
    ("system",),
    ("model", "recipe", "metrics"),
    ("capture", "calibration"),
    ("targets", "compression", "training"),
    ("validation", "stylize"),
    ("export",),
    ("search", "distribution"),
    ("cli",),
)
FLOOR_OF = {package: floor for floor, packages in enumerate(FLOORS) for package in packages}
LONG, LONG_FILES = 250, 5
PREFIX = "instantstyle."


def modules() -> dict[str, Path]:
    found = {}
    for package in FLOOR_OF:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports() -> dict[str, set[str]]:
    """By module, the modules of the product that it imports, wherever in it and for types as well."""
    known = modules()
    return {name: set(imported(name, path, known)) - {name} for name, path in known.items()}


def imported(name: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    package = f"{PREFIX}{name}" if path.name == "__init__.py" else f"{PREFIX}{name}".rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(filter(None, (above, node.module)))
            targets = [f"{base}.{alias.name}" if f"{base}.{alias.name}".removeprefix(PREFIX) in known else base for alias in node.names]
        else:
            continue
        yield from (target.removeprefix(PREFIX) for target in targets if target.removeprefix(PREFIX) in known)


def test_no_package_imports_upwards() -> None:
    upward = [
        f"{name} imports {other}"
        for name, others in imports().items()
        for other in sorted(others)
        if (own := name.partition(".")[0]) != (its := other.partition(".")[0]) and FLOOR_OF[its] >= FLOOR_OF[own]
    ]
    assert upward == []


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Sets of modules that reach each other."""
    reached: dict[str, set[str]] = {}
    for name in graph:
        seen, waiting = set[str](), [name]
        while waiting:
            new = graph[waiting.pop()] - seen
            seen |= new
            waiting.extend(new)
        reached[name] = seen
    groups = {frozenset(other for other in reached[name] if name in reached[other]) for name in graph if name in reached[name]}
    return sorted(map(sorted, groups))


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circles(imports()) == []


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == [["b", "c"]]


def test_files_can_be_held_in_the_head() -> None:
    long = sorted(name for name, path in modules().items() if len(path.read_text().splitlines()) > LONG)
    assert len(long) <= LONG_FILES, long


@pytest.mark.parametrize("package", FLOOR_OF)
def test_every_package_says_what_it_is(package: str) -> None:
    assert ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_bytes()))
    assert {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()} == {*FLOOR_OF, "instantstyle"}
