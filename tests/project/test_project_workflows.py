"""The workflows: what they call exists, and what is published was tried before."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from instantstyle.cli.main import app

WORKFLOWS = Path(__file__).parents[2] / ".github" / "workflows"
ALL = sorted(WORKFLOWS.glob("*.yml"))


def jobs(name: str) -> dict[str, Any]:
    return yaml.safe_load((WORKFLOWS / name).read_text(encoding="utf-8"))["jobs"]


def scripts(path: Path) -> list[str]:
    return [step["run"] for job in jobs(path.name).values() for step in job.get("steps", ()) if "run" in step]


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_scripts_are_valid_and_call_commands_that_exist(path: Path) -> None:
    commands = getattr(typer.main.get_command(app), "commands", {})
    for script in scripts(path):
        checked = subprocess.run(["bash", "-n"], input=re.sub(r"\$\{\{.*?\}\}", "x", script), text=True, capture_output=True, check=False)
        assert checked.stderr == ""
        for line in script.splitlines():
            for called in re.findall(r"^(?:\S*/)?instantstyle ([a-z]+)(.*)$", line.strip()):
                known = {option for parameter in commands[called[0]].params for option in parameter.opts}
                given = {word for word in shlex.split(called[1].partition("&&")[0], posix=False) if word.startswith("-")}
                assert given <= known, line


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_workflow_may_write_nothing_but_where_it_publishes(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        writes = {key for key, value in job.get("permissions", {}).items() if value == "write"}
        assert writes == ({"id-token", "attestations"} if (path.stem, name) == ("release", "publish") else set())


def test_what_is_published_is_what_was_tried() -> None:
    release, wheel = jobs("release.yml"), jobs("wheel.yml")
    assert release["wheel"]["uses"] == jobs("ci.yml")["wheel"]["uses"] == "./.github/workflows/wheel.yml"
    assert release["publish"]["needs"] == "wheel" and wheel["try"]["needs"] == "build"
    steps = [step for job in (*release.values(), *wheel.values()) for step in job.get("steps", ())]
    names = [step["with"]["name"] for step in steps if "artifact@" in step.get("uses", "")]
    assert names == ["distributions"] * 3
