"""The documentation's pages: every section of the README is on one of them, links lead somewhere, and nothing is fetched."""

import re
from pathlib import Path

import hooks
import pytest
import yaml
from command_reference import command_reference
from key_reference import key_tables
from mkdocs.exceptions import PluginError

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))
# What the site says elsewhere, or not at all.
NOT_ON_THE_SITE = {"Two commands", "More commands", "Licence"}


class Page:
    """As much of mkdocs' as the hook looks at."""

    def __init__(self, name: str) -> None:
        self.file = self
        self.src_uri = name


def made(name: str) -> str:
    return hooks.on_page_markdown((DOCS / name).read_text(encoding="utf-8"), Page(name))


def test_every_section_of_the_readme_is_on_exactly_one_page() -> None:
    text = "".join((DOCS / name).read_text(encoding="utf-8") for name in PAGES)
    named = re.findall(r"^<!-- README: (.+) -->$", text, re.MULTILINE)
    readme = hooks.FENCE.sub("", (ROOT / "README.md").read_text(encoding="utf-8"))
    headings = set(re.findall(r"^#{1,2} (.+)$", readme, re.MULTILINE))
    assert sorted(named) == sorted(headings - NOT_ON_THE_SITE)


@pytest.mark.parametrize("name", PAGES)
def test_links_of_a_page_lead_to_pages_and_files_of_the_site(name: str) -> None:
    text = hooks.FENCE.sub("", made(name))
    assert not hooks.MARK.search(text)
    for _, _, target in hooks.LINK.findall(text):
        if "://" not in target:
            assert not target.partition("#")[0] or (DOCS / target.partition("#")[0]).is_file(), target


def test_links_of_the_readme_become_those_of_pages() -> None:
    home = made("index.md")
    assert "(samples.jpg)" in home and "[model card](model-card.md)" in home
    assert "(`benchmarks/results/2026-11-25-amd-epyc.md`)" in home
    assert "[whatever it was trained with](network.md)" in made("getting-started.md")
    assert "[CONTRIBUTING](contributing.md#add-a-target)" in made("targets.md")
    assert "![Five photos in five styles](samples.jpg)" in made("model-card.md")


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(PluginError, match=r"docs/x.md: the README has no section 'Nothing'; it has instantstyle, Two commands"):
        hooks.on_page_markdown("<!-- README: Nothing -->", Page("x.md"))


def test_code_is_left_alone() -> None:
    assert 'order = "BGR"' in made("network.md")
    assert hooks.FENCE.split("a\n```\n[x](y)\n```\nb")[1] == "```\n[x](y)\n```"


def test_the_tables_of_keys_are_those_of_the_schema() -> None:
    text = key_tables(DOCS / "recipe.schema.json")
    assert "\n### [model.input]\n" in text and "\n### [prune.recover.held_out]\n" in text
    assert "| `runs` | runs before, which are not timed, and runs that are. | integer ≥ 5 | `30` |" in text
    assert "returns an `nn.Module` or our `Model`. | string | needed |" in text
    assert '| `method` | `off` passes the model on unchanged. | `off`, `structured` | `"off"` |' in text


def test_the_commands_are_those_of_the_command_line() -> None:
    text = command_reference()
    assert "\n## instantstyle calibration diff\n" in text
    assert "| `--out`, `-o` | The recipe to write. |" in text


def test_nothing_is_fetched_by_who_reads_it() -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert settings["strict"] is True
    assert settings["theme"]["font"] is False
    assert not {"extra_css", "extra_javascript"} & settings.keys()


def test_every_page_is_in_the_navigation() -> None:
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"[\w-]+\.(?:md|ipynb)", settings.partition("\nnav:")[2])
    assert sorted(listed) == sorted(PAGES + ["quickstart.ipynb"])
