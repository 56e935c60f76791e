"""The cache: complete entries or none, through kills, damage, full disks and several processes."""

import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from instantstyle.export.cache import store as store_module
from instantstyle.export.cache.store import Store, Workspace
from instantstyle.system.disk import OutputError, atomic_write, explained_disk_errors
from instantstyle.system.errors import InstantStyleError
from instantstyle.system.lock import Lock, lock_output

DIGEST = "a1" * 32
FILES = {"model.bin": b"\x00\x01" * 5000, "deep/notes.json": b"{}"}


def write_files(workspace: Workspace) -> None:
    for name, content in FILES.items():
        path = workspace.output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def refuse(workspace: Workspace) -> None:
    raise AssertionError("made again")


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def in_child(action: Callable[[], object]) -> int:
    """Runs ``action`` in a forked process; the signal that ended it, or 0."""
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(0)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_an_entry_is_made_once_and_found_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    assert store.find("emit", DIGEST) is None
    entry = store.build("emit", DIGEST, write_files)
    assert content_of(entry.folder) == FILES
    assert store.find("emit", DIGEST) == entry
    assert Store(tmp_path / "cache").build("emit", DIGEST, refuse) == entry
    assert store.find("emit", "b2" * 32) is None
    assert store.find("capture", DIGEST) is None
    assert list((tmp_path / "cache" / "work").iterdir()) == []


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def fail(workspace: Workspace) -> None:
        write_files(workspace)
        raise InstantStyleError("no")

    with pytest.raises(InstantStyleError, match="no"):
        store.build("emit", DIGEST, fail)
    assert store.find("emit", DIGEST) is None
    assert content_of(tmp_path) == {}


MOMENTS = ["before the first file", "within a file", "before the manifest", "before the flush", "before the rename", "after the rename"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_it_is_complete_or_absent_and_resumes(tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)

    def make(workspace: Workspace) -> None:
        if moment == "before the first file":
            die()
        if moment == "within a file":
            with (workspace.output / "model.bin").open("wb") as file:
                file.write(b"\x00\x01")
                file.flush()
                die()
        write_files(workspace)

    def doomed() -> None:
        patches = {"before the manifest": "_write_manifest", "before the flush": "sync_tree", "after the rename": "sync_folder"}
        if moment in patches:
            monkeypatch.setattr(store_module, patches[moment], die)
        if moment == "before the rename":
            monkeypatch.setattr(os, "rename", die)
        store.build("emit", DIGEST, make)

    assert in_child(doomed) == signal.SIGKILL
    found = store.find("emit", DIGEST)
    assert (found is not None) == (moment == "after the rename")
    store.clean()
    assert list((tmp_path / "work").iterdir()) == []
    entry = store.build("emit", DIGEST, refuse if found else write_files)
    assert content_of(entry.folder) == FILES


def test_state_survives_a_kill_until_the_entry_is_complete(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def train(workspace: Workspace) -> None:
        state = workspace.state / "step.txt"
        start = int(state.read_text()) if state.exists() else 0
        for step in range(start + 1, 11):
            atomic_write(state, str(step))
            if step == 6 and start == 0:
                (workspace.output / "half").write_text("half")
                (workspace.state / "step.tmp").write_text("half")
                die()
        (workspace.output / "result").write_text(f"started at {start}")

    assert in_child(lambda: store.build("qat", DIGEST, train)) == signal.SIGKILL
    store.clean()
    assert [path.name for path in (tmp_path / "work").rglob("*") if path.is_file()] == ["step.txt"]
    entry = store.build("qat", DIGEST, train)
    assert content_of(entry.folder) == {"result": b"started at 6"}
    assert list((tmp_path / "work").iterdir()) == []


def test_stale_state_is_removed_after_two_weeks(tmp_path: Path) -> None:
    state = tmp_path / "work" / f"qat-{DIGEST[:24]}" / "state"
    state.mkdir(parents=True)
    (state / "qat.pt").write_text("x")
    Store(tmp_path).clean()
    assert state.exists()
    old = time.time() - 15 * 24 * 3600
    os.utime(state, (old, old))
    Store(tmp_path).clean()
    assert not state.parent.exists()


def test_what_a_living_process_writes_is_left_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def make(workspace: Workspace) -> None:
        write_files(workspace)
        Store(tmp_path).clean()
        with pytest.raises(InstantStyleError, match=rf"is using this cache \(process {os.getpid()}, since"):
            Store(tmp_path).clear()

    assert content_of(store.build("emit", DIGEST, make).folder) == FILES


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda files: (files / "model.bin").write_bytes(b"\x00\x01" * 4999 + b"\x00\x02"), "model.bin was altered"),
        (lambda files: (files / "model.bin").write_bytes(b"short"), "model.bin was altered"),
        (lambda files: (files / "deep" / "notes.json").unlink(), "deep/notes.json is missing or was added"),
        (lambda files: (files / "intruder").write_text("x"), "intruder is missing or was added"),
        (lambda files: (files.parent / "manifest.json").write_text("{"), "no readable manifest"),
    ],
)
def test_a_damaged_entry_is_dropped_with_a_notice(tmp_path: Path, damage: Callable[[Path], object], told: str) -> None:
    notices: list[str] = []
    store = Store(tmp_path, notices.append)
    entry = store.build("emit", DIGEST, write_files)
    damage(entry.folder)
    assert store.find("emit", DIGEST) is None
    assert notices == [f"cache: the result of emit is damaged ({told}); it will be made again"]
    assert content_of(store.build("emit", DIGEST, write_files).folder) == FILES


def test_two_processes_make_an_entry_once(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def make(workspace: Workspace) -> None:
        with log.open("a") as file:
            file.write("made\n")
        time.sleep(0.2)
        write_files(workspace)

    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            try:
                Store(tmp_path / "cache").build("emit", DIGEST, make)
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    assert log.read_text() == "made\n"
    assert Store(tmp_path / "cache").find("emit", DIGEST) is not None


def test_clear_frees_everything(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.build("emit", DIGEST, write_files)
    freed = store.clear()
    assert freed > sum(map(len, FILES.values()))
    assert content_of(tmp_path) == {}
    assert store.find("emit", DIGEST) is None
    assert Store(tmp_path / "never made").clear() == 0


def test_an_output_lock_names_its_owner_and_dies_with_it(tmp_path: Path) -> None:
    dist = tmp_path / "dist"
    lock = lock_output(dist)
    with pytest.raises(OutputError, match=rf"dist: another process is writing there \(process {os.getpid()}, since .*--out"):
        lock_output(dist)
    lock.release()
    assert list(tmp_path.iterdir()) == []
    assert in_child(lambda: (lock_output(dist), die())) == signal.SIGKILL
    assert (tmp_path / ".dist.lock").exists()
    lock_output(dist).release()


def test_the_lock_of_a_removed_file_does_not_count(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "x.lock"), Lock(tmp_path / "x.lock")
    assert first.acquire()
    assert not second.acquire()
    first.release()
    first.release()
    assert second.acquire()
    assert not Lock(tmp_path / "x.lock").acquire()


def full(path: Path) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def fill(workspace: Workspace) -> None:
        (workspace.output / "part").write_bytes(b"x")
        raise full(workspace.output / "model.bin")

    told = r"the disk is full: could not write .*model\.bin \([\d,]+ bytes free\)"
    with pytest.raises(OutputError, match=told), explained_disk_errors(tmp_path):
        store.build("emit", DIGEST, fill)
    assert content_of(tmp_path) == {}


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("PytorchStreamWriter failed: No space left on device (os error 28)"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
    ],
)
def test_a_full_disk_is_recognised_through_libraries(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(OutputError, match="the disk is full"), explained_disk_errors(tmp_path):
        raise error
    with pytest.raises(OutputError, match="the disk is full"), explained_disk_errors(tmp_path):
        try:
            raise error
        except Exception as cause:
            raise InstantStyleError("the table cannot be written") from (cause if isinstance(cause, OSError) else full(tmp_path))


def test_other_errors_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), explained_disk_errors(tmp_path):
        raise ZeroDivisionError
    with pytest.raises(InstantStyleError, match="^mine$"), explained_disk_errors(tmp_path):
        raise InstantStyleError("mine")


def test_a_read_only_file_system_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write .*x: read-only file system"), explained_disk_errors(tmp_path):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(tmp_path / "x"))


def test_atomic_write_keeps_the_old_content_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.json"
    atomic_write(path, "old")

    def fail(*_: object) -> None:
        raise full(path)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError):
        atomic_write(path, "new")
    assert content_of(tmp_path) == {"table.json": b"old"}
