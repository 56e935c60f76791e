"""The HTML report: whole in itself, escaped, and with everything that it should show; opened in a browser where there is one."""

import html
import json
import math
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from distribution_helpers import Signed
from gate_helpers import content

from instantstyle.validation.page import page
from instantstyle.validation.results.bundle_file import read_bundle

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
VOID = {"meta", "img", "input", "br", "line", "circle", "polyline"}


class Elements(HTMLParser):
    """Every element, and a failure for one that is closed in the wrong place."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def test_it_needs_no_other_file(signed: Signed) -> None:
    text = (signed.dist / "report.html").read_text()
    elements = Elements(text)
    assert {tag for tag, _ in elements.found} & {"link", "script", "iframe"} == set()
    assert all((each.get("src") or "").startswith("data:image/png;base64,") for each in elements.of("img"))
    assert "http" not in re.sub(r"data:image/png;base64,[^\"]+", "", text)


def test_verdicts_come_first_and_pictures_plots_and_bill_follow(signed: Signed) -> None:
    text = (signed.dist / "report.html").read_text()
    places = [
        text.index(part)
        for part in ('id="verdict"', 'id="artifacts"', "Golden pairs", 'id="plots"', 'id="losses"', 'id="modules"', 'id="bill"')
    ]
    assert places == sorted(places)
    elements = Elements(text)
    assert len(elements.of("img")) == 4 and len([each for each in elements.of("input") if each.get("type") == "range"]) == 2
    numbered = [each["class"] for each in elements.of("circle") if each["class"] != "module"]
    assert len(numbered) == 4, "two artifacts over bytes, and over time"
    for artifact in content(signed.dist)["artifacts"]:
        beside = [*(signed.dist / f"app/{artifact['name']}").iterdir(), *(signed.dist / "app/styles").iterdir()]
        assert f'<th class="number">{artifact["shipped_bytes"] + sum(path.stat().st_size for path in beside):,}</th>' in text


def test_every_module_of_the_int8_program_is_in_the_plot(signed: Signed) -> None:
    losses = json.loads((signed.dist / "losses.json").read_text())[0]["modules"]
    assert {(row["graph"], row["module_path"]) for row in losses} >= {("encoder", "first"), ("painter", "last")}
    text = (signed.dist / "report.html").read_text()
    for row in losses:
        assert f"<title>{row['module_path']}: {-10 * math.log10(row['noise']):.1f} dB</title>" in text


def test_what_a_bundle_says_is_escaped(signed: Signed) -> None:
    bundle = read_bundle(signed.dist)
    wicked = '<img src=x onerror="alert(1)">'
    artifact = replace(bundle.artifacts[0], reason=wicked, notes=(wicked,))
    text = page(replace(bundle, model=replace(bundle.model, name=wicked), artifacts=(artifact,)), "passed", signed.dist)
    assert wicked not in text and html.escape(wicked, quote=False).split()[0] in text


def test_the_picture_is_that_of_the_lowest_score(signed: Signed) -> None:
    for name in ("onnx-float32-32x32", "onnx-int8-32x32"):
        results = json.loads((signed.dist / f"golden/{name}.json").read_text())["results"]
        lowest = min(results, key=lambda row: row["ssim"])
        caption = f"{name}, {html.escape(lowest['pair'])}: SSIM {lowest['ssim']:.4f}"
        assert caption in (signed.dist / "report.html").read_text()


MOVE = """
<script>
const slider = document.querySelector('.slider input'), over = document.querySelector('.slider .over');
slider.value = 20;
slider.dispatchEvent(new Event('input'));
const box = document.querySelector('.slider .edge').getBoundingClientRect(), picture = over.getBoundingClientRect();
document.title = [getComputedStyle(over).clipPath, Math.round(100 * (box.x + box.width / 2 - picture.x) / picture.width),
  [...document.images].every(image => image.complete && image.naturalWidth > 0),
  [...document.querySelectorAll('svg')].every(drawn => drawn.getBoundingClientRect().width > 300),
  document.documentElement.scrollWidth <= window.innerWidth].join('; ');
</script>
"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here: apt-get install chromium")
def test_a_browser_shows_it_and_the_slider_moves(signed: Signed, tmp_path: Path) -> None:
    assert BROWSER is not None
    shot = tmp_path / "report.png"
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'browser'}"]
    moved = tmp_path / "moved.html"
    moved.write_text((signed.dist / "report.html").read_text().replace("</body>", f"{MOVE}</body>"))
    address = moved.as_uri()
    show = [*command, "--window-size=1200,1600", f"--screenshot={shot}", address]
    done = subprocess.run(show, capture_output=True, text=True, timeout=120, check=False)
    assert shot.is_file(), done.stderr
    dumped = subprocess.run([*command, "--dump-dom", address], capture_output=True, text=True, timeout=120, check=False)
    assert 'id="verdict" class="passed"' in dumped.stdout
    assert "<title>inset(0px 0px 0px 20%); 20; true; true; true</title>" in dumped.stdout
