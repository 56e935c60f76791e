"""The keys of a recipe as tables, from its JSON schema."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def key_tables(schema: Path) -> str:
    """A heading and a table of keys for every table of the TOML file."""
    content = json.loads(schema.read_text(encoding="utf-8"))
    return "\n".join(_table("", content, content["definitions"]))


def _table(name: str, table: dict[str, Any], definitions: dict[str, Any]) -> Iterator[str]:
    rows, inner = [], []
    for key, entry in table["properties"].items():
        below = _reference(entry)
        dotted = f"{name}.{key}".lstrip(".")
        if below is None:
            default = f"`{json.dumps(entry['default'])}`" if "default" in entry else "needed" if key in table.get("required", ()) else ""
            rows.append(f"| `{key}` | {_cell(entry.get('description', ''))} | {_kind(entry)} | {default} |")
        elif dotted.count(".") < 3 and not (name == "limits" and below == "Limits"):
            inner.append((dotted, definitions[below]))
    if name:
        yield f"\n### [{name}]\n\n{_cell(table.get('description', ''))}\n"
    if rows:
        yield from ("| Key | Meaning | Values | Default |", "|---|---|---|---|", *rows)
    for dotted, entry in inner:
        yield from _table(dotted, entry, definitions)


def _reference(entry: dict[str, Any]) -> str | None:
    """The definition of a table that an entry is, or may be."""
    found = entry.get("$ref") or next((each["$ref"] for each in entry.get("allOf", ())), None)
    return None if found is None else found.rpartition("/")[2]


def _kind(entry: dict[str, Any]) -> str:
    if "enum" in entry:
        return ", ".join(f"`{value}`" for value in entry["enum"])
    if "anyOf" in entry:
        return " or ".join(dict.fromkeys(_kind(each) for each in entry["anyOf"]))
    if entry.get("type") == "array":
        items = entry.get("items", {})
        return "list of " + (_kind(items) if isinstance(items, dict) else " and ".join(dict.fromkeys(map(_kind, items))))
    if entry.get("type") == "object":
        values = entry.get("additionalProperties")
        return f"table of {_kind(values)}" if isinstance(values, dict) else "table"
    bounds = [f"{sign} {entry[key]}" for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">")) if key in entry]
    bounds += [f"{sign} {entry[key]}" for key, sign in (("maximum", "≤"), ("exclusiveMaximum", "<")) if key in entry]
    return " ".join([entry.get("type", "table"), ", ".join(bounds)]).strip()


def _cell(text: str) -> str:
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())
