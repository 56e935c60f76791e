"""What pyproject.toml and constraints.txt say agrees with what is in the tree."""

import ast
import importlib
import re
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]
TOP_FOLDERS = (
    "system",
    "model",
    "recipe",
    "metrics",
    "capture",
    "calibration",
    "targets",
    "compression",
    "training",
    "validation",
    "stylize",
)
TOP_FOLDERS += ("export", "search", "distribution", "cli")
# Where the name of an import is not that of its distribution.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "skimage": "scikit-image",
    "coreai": "coreai-core",
    "onnx_ir": "onnx-ir",
    "pydantic_core": "pydantic",
    "cyclonedx": "cyclonedx-python-lib",
    "packageurl": "packageurl-python",
}


def requirement(text: str) -> tuple[str, str]:
    """``"torch>=2.13.0"`` -> ("torch", "2.13.0"); the name in its normal form."""
    match = re.fullmatch(r"([A-Za-z0-9._-]+)(?:>=|==)([0-9.]+(?:b[0-9]+)?)", text)
    assert match, f"{text}: a lower bound or a pin is wanted, nothing else"
    return re.sub(r"[-_.]+", "-", match[1]).lower(), match[2]


CORE = dict(map(requirement, PROJECT["project"]["dependencies"]))
EXTRAS = {extra: dict(map(requirement, lines)) for extra, lines in PROJECT["project"]["optional-dependencies"].items()}


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(requirement(line) for line in lines if line and not line.startswith("#"))


def packages_in_tree() -> dict[str, str]:
    folders = {path.parent.relative_to(ROOT) for top in TOP_FOLDERS for path in (ROOT / top).rglob("*.py")}
    data = {f"instantstyle.{folder}": folder for folder in ("checkpoints", "docs", "recipes", "samples")}
    return {"instantstyle": "instantstyle"} | data | {".".join(("instantstyle", *folder.parts)): folder.as_posix() for folder in folders}


# Programs that another Python runs, with its own packages.
ELSEWHERE = {ROOT / "targets" / "triton" / name for name in ("backend.py", "check_config.py")}


def sources(top: str) -> list[Path]:
    return sorted({*(ROOT / top).rglob("*.py")} - ELSEWHERE)


def third_party_imports(path: Path, everywhere: bool) -> set[str]:
    """Distributions that a file imports: at module level, or anywhere."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if everywhere else tree.body
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    names -= {*sys.stdlib_module_names, "instantstyle"}
    return {DISTRIBUTIONS.get(name, name).replace("_", "-").lower() for name in names}


def test_every_folder_is_mapped_to_its_package() -> None:
    assert SETUPTOOLS["package-dir"] == packages_in_tree()
    assert sorted(SETUPTOOLS["packages"]) == sorted(SETUPTOOLS["package-dir"])


@pytest.mark.parametrize("name", TOP_FOLDERS)
def test_installed_package_is_the_folder_at_the_root(name: str) -> None:
    module = importlib.import_module(f"instantstyle.{name}")
    assert module.__file__ is not None
    assert Path(module.__file__).resolve() == ROOT / name / "__init__.py"


def test_type_checker_is_shown_every_package() -> None:
    packages = re.search(r"^PACKAGES := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert packages and set(packages[1].split()) == set(TOP_FOLDERS)
    assert ".venv/typing" in PROJECT["tool"]["basedpyright"]["extraPaths"]
    assert set(PROJECT["tool"]["basedpyright"]["include"]) >= {*TOP_FOLDERS, "tests", "benchmarks", "samples"}


def test_no_folder_name_lands_in_site_packages_alone() -> None:
    assert all(name.partition(".")[0] == "instantstyle" for name in SETUPTOOLS["packages"])


def test_every_data_file_is_packaged() -> None:
    files = [
        path
        for top in ("instantstyle", *TOP_FOLDERS)
        for path in (ROOT / top).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    data = [path for path in files if path.suffix != ".py"]
    patterns = {folder: SETUPTOOLS["package-data"].get(package, ()) for package, folder in SETUPTOOLS["package-dir"].items()}
    packaged = {path for folder, globs in patterns.items() for pattern in globs for path in (ROOT / folder).glob(pattern)}
    assert [str(path) for path in data if path not in packaged] == []
    assert [path.parent.name for path in data if path.name == "py.typed"] == ["instantstyle"]


def test_command_is_installed() -> None:
    (command,) = entry_points(group="console_scripts", name="instantstyle")
    assert callable(command.load())


@pytest.mark.parametrize("top", TOP_FOLDERS)
def test_imports_at_module_level_are_core_dependencies(top: str) -> None:
    allowed = CORE.keys() | (EXTRAS["training"].keys() if top == "training" else set())
    missing = {str(path.relative_to(ROOT)): third_party_imports(path, everywhere=False) - allowed for path in sources(top)}
    assert {path: names for path, names in missing.items() if names} == {}


@pytest.mark.parametrize("top", TOP_FOLDERS)
def test_imports_at_first_use_are_of_a_dependency_or_an_extra(top: str) -> None:
    """``dev`` is for tests: who installs the product does not have it."""
    allowed = CORE.keys() | {name for extra, names in EXTRAS.items() if extra != "dev" for name in names}
    missing = {str(path.relative_to(ROOT)): third_party_imports(path, everywhere=True) - allowed for path in sources(top)}
    assert {path: names for path, names in missing.items() if names} == {}


def test_every_core_dependency_is_imported() -> None:
    used = {name for top in TOP_FOLDERS for path in sources(top) for name in third_party_imports(path, everywhere=True)}
    # onnxscript is what torch.onnx.export(dynamo=True) needs.
    assert CORE.keys() - used <= {"onnxscript"}


def test_constraints_pin_torch_first_and_name_no_source() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines[0] == "torch==2.13.0"
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9.]+(b[0-9]+)?", line)] == []
    assert len(constraints()) == len(lines)


@pytest.mark.parametrize("group", ["core", "dev", "docs", "notebook", "sign", "training"])
def test_constraints_satisfy_the_lower_bounds(group: str) -> None:
    wanted = CORE if group == "core" else EXTRAS[group]
    pins = constraints()

    def release(version: str) -> tuple[int, ...]:
        return tuple(map(int, version.split(".")))

    for name, bound in wanted.items():
        assert release(pins[name]) >= release(bound), name


def test_licence_is_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert "Apache License" in text and "END OF TERMS AND CONDITIONS" in text
