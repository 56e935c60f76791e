"""The command line as tables, from the application itself."""

from collections.abc import Iterator
from typing import Any

import typer.main

from instantstyle.cli.main import app


def command_reference() -> str:
    """A heading, the help and a table of options for every command."""
    return "\n".join(_command(typer.main.get_command(app), "instantstyle"))


def _command(command: Any, name: str) -> Iterator[str]:
    children = getattr(command, "commands", {})
    if not children:
        yield f"\n## {name}\n\n{command.help}\n"
        yield from ("| Argument or option | Meaning |", "|---|---|")
        for parameter in command.params:
            words = parameter.opts if parameter.param_type_name == "option" else [parameter.metavar or parameter.name.upper()]
            text = " ".join((getattr(parameter, "help", None) or "").replace("|", "\\|").split())
            yield f"| {', '.join(f'`{word}`' for word in words)} | {text} |"
    for child in sorted(children):
        yield from _command(children[child], f"{name} {child}")
