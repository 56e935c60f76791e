"""What is held out goes by names and contents, never by where the files lie."""

from pathlib import Path

import numpy as np
from PIL import Image

from instantstyle.calibration.holdout import split


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)


def test_a_moved_or_renamed_folder_is_split_as_before(tmp_path: Path) -> None:
    for index in range(20):
        # Two folders, whose files are named alike in part.
        picture(tmp_path / "before" / ("a" if index < 12 else "b") / f"{index % 12:02}.png", index)
    first = split(("before/a", "before/b"), tmp_path, 3, set())
    assert len(first.held_out) == 7
    (tmp_path / "after").mkdir()
    (tmp_path / "before" / "a").rename(tmp_path / "after" / "z")
    (tmp_path / "before" / "b").rename(tmp_path / "after" / "y")
    again = split(("after/z", "after/y"), tmp_path, 3, set())
    assert [path.name for path in again.held_out] == [path.name for path in first.held_out]
    names = {"a": "z", "b": "y"}
    assert [path.parent.name for path in again.held_out] == [names[path.parent.name] for path in first.held_out]
    assert not set(again.training) & set(again.held_out)


def test_every_nth_by_name(tmp_path: Path) -> None:
    for index in range(7):
        picture(tmp_path / f"{index}.png", index)
    found = split(("*.png",), tmp_path, 3, {"4"})
    assert [path.stem for path in found.held_out] == ["0", "3", "4", "6"]
    assert [path.stem for path in found.training] == ["1", "2", "5"]
    assert split(("*.png",), tmp_path, 0, set()).held_out == []


def test_a_copy_of_what_is_held_out_is_held_out(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 1), ("c", 0), ("d", 2)):
        picture(tmp_path / f"{name}.png", seed)
    found = split(("*.png",), tmp_path, 10, set())
    assert [path.stem for path in found.held_out] == ["a", "c"] and [path.stem for path in found.training] == ["b", "d"]
