"""The calibration table: what it holds, its file, and whether it fits a model."""

import dataclasses
import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from instantstyle.calibration.table import CalibrationTable, CalibrationTableError, TensorRange, check_fits, symmetric_scale
from instantstyle.system.errors import InstantStyleError

ENTRIES = (
    TensorRange.of("style_encoder", "stem.0", (-1.5, 3.81), "entropy"),
    TensorRange.of("stylizer", "decoder.head", (-2.54, 0.1 + 0.2), "percentile"),
    TensorRange.of("stylizer", "decoder.relu", (0.0, 1.27), "percentile"),
)
HASH = "ab" * 32


@pytest.fixture
def table() -> CalibrationTable:
    return CalibrationTable.of("instantstyle", (512, 384), "percentile", HASH, reversed(ENTRIES))


@pytest.mark.parametrize(
    ("limits", "scale"), [((-1.27, 0.5), 0.01), ((0.0, 254.0), 2.0), ((-12.7, 12.7), 0.1), ((0.0, 0.0), 1 / 127), ((-1e-39, 0.0), 1 / 127)]
)
def test_scale(limits: tuple[float, float], scale: float) -> None:
    assert symmetric_scale(*limits) == pytest.approx(scale, rel=1e-12)
    entry = TensorRange.of("g", "t", limits, "mse")
    assert (entry.minimum, entry.maximum, entry.zero_point, entry.observer) == (*limits, 0, "mse")
    assert entry.scale == symmetric_scale(*limits)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"minimum": 0.5}, "no range around 0"),
        ({"maximum": float("nan")}, "no range around 0"),
        ({"maximum": float("inf")}, "no range around 0"),
        ({"scale": 0.02}, "scale 0.02 of 't' is not"),
        ({"zero_point": 128}, "zero point 128 of 't' is not 0"),
    ],
)
def test_a_contradictory_entry_is_refused(change: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(TensorRange.of("g", "t", (-1.27, 1.0), "mse"), **change)


def test_a_table_sorts_its_entries_and_knows_its_libraries(table: CalibrationTable) -> None:
    assert table.entries == ENTRIES
    assert dict(table.libraries)["torch"] == metadata.version("torch")
    assert table.by_key()["stylizer", "decoder.relu"] is ENTRIES[2]


def test_a_tensor_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'stem\.0' of graph 'style_encoder' is there twice"):
        CalibrationTable.of("m", (8, 8), "mse", HASH, [*ENTRIES, ENTRIES[0]])


def test_save_and_load_are_exact(table: CalibrationTable, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text("older")
    table.save(path)
    assert CalibrationTable.load(path) == table
    assert [file.name for file in tmp_path.iterdir()] == ["table.json"]


def test_the_file_spells_everything_out(table: CalibrationTable, tmp_path: Path) -> None:
    table.save(tmp_path / "table.json")
    content = json.loads((tmp_path / "table.json").read_text())
    assert {key: content[key] for key in ("version", "model", "size", "observer", "image_set_sha256")} == {
        "version": 1,
        "model": "instantstyle",
        "size": [512, 384],
        "observer": "percentile",
        "image_set_sha256": HASH,
    }
    assert content["libraries"]["torch"] == metadata.version("torch")
    assert content["entries"][2] == {
        "graph": "stylizer",
        "tensor": "decoder.relu",
        "minimum": 0.0,
        "maximum": 1.27,
        "scale": 0.01,
        "zero_point": 0,
        "observer": "percentile",
    }


def test_save_says_where_it_failed_and_leaves_nothing(table: CalibrationTable, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "missing/table.json", tmp_path / "folder"):
        with pytest.raises(CalibrationTableError, match=str(path)):
            table.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]


def message_of(path: Path) -> str:
    with pytest.raises(CalibrationTableError) as error:
        CalibrationTable.load(path)
    assert isinstance(error.value, InstantStyleError)
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ('{"version": 1,\n "model": }', "not JSON (Expecting value: line 2 column 11"),
        ("[" * 100_000, "not JSON"),
        ("[1, 2]", "not a calibration table"),
        ('{"model": "m"}', "it has no 'version'"),
        ('{"version": 0}', "an unknown version, 0; this instantstyle reads version 1"),
        ('{"version": 2}', "a newer version, 2"),
        ('{"version": "1"}', "an unknown version, '1'"),
    ],
)
def test_a_file_that_is_no_table(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "table.json").write_text(text)
    assert words in message_of(tmp_path / "table.json")


def test_missing_and_binary_files(tmp_path: Path) -> None:
    assert "cannot be read (No such file" in message_of(tmp_path / "missing.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    assert "not JSON" in message_of(tmp_path / "binary.json")


def entry(index: int, **changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["entries"][index].update(changes)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (entry(1, scale="0.02"), "entries[1].scale of tensor 'decoder.head': Input should be a valid number"),
        (entry(1, scale=0.5), "entries[1] of tensor 'decoder.head': Value error, scale 0.5"),
        (entry(0, maximum=float("nan")), "entries[0].maximum of tensor 'stem.0': Input should be a finite number"),
        (entry(2, minimum=0.1), "entries[2] of tensor 'decoder.relu': Value error, minimum 0.1"),
        (entry(2, zero_point=-128), "zero point -128"),
        (entry(2, zero_pont=0), "entries[2].zero_pont of tensor 'decoder.relu': Unexpected keyword"),
        (entry(2, tensor="decoder.head"), "'decoder.head' of graph 'stylizer' is there twice"),
        (lambda content: content["entries"].reverse(), "is out of order"),
        (lambda content: content["entries"][1].pop("observer"), "entries[1].observer of tensor 'decoder.head': Field required"),
        (lambda content: content.pop("image_set_sha256"), "image_set_sha256: Field required"),
        (lambda content: content.update(size=[512]), "size[1]: Field required"),
        (lambda content: content.update(entries="none"), "entries: Input should be a valid array"),
        (lambda content: content.update(entries=[3]), "entries[0]: Input should be"),
        (lambda content: content.update(percentile=99), "percentile: Unexpected keyword"),
    ],
)
def test_a_wrong_entry_is_named(table: CalibrationTable, tmp_path: Path, edit: Callable[[dict[str, Any]], object], words: str) -> None:
    path = tmp_path / "table.json"
    table.save(path)
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    assert words in message_of(path)


def test_check_fits(table: CalibrationTable) -> None:
    keys = [entry.key for entry in ENTRIES]
    check_fits(table, reversed(keys))
    with pytest.raises(
        CalibrationTableError, match="with 3 tensors does not fit this model with 4: it lacks 'neck' of graph 'stylizer'"
    ) as error:
        check_fits(table, [*keys, ("stylizer", "neck")])
    assert "which this model has not" not in str(error.value)
    with pytest.raises(CalibrationTableError, match=r"it has 'stem\.0' of graph 'style_encoder', which this model has not") as error:
        check_fits(table, keys[1:])
    assert "lacks" not in str(error.value)
    with pytest.raises(
        CalibrationTableError, match=r"it lacks .*'t0' .*'t4' of graph 'g' and 4 more; it has 'stem\.0'.*'decoder\.relu' of"
    ):
        check_fits(table, [("g", f"t{index}") for index in range(9)])
