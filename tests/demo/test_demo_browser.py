"""The page in a headless Chromium: what it paints is what the toolchain paints, and what people do there works."""

import base64
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import CHROMIUM, WHY_NOT, Browser
from PIL import Image
from torch import nn

import instantstyle
from instantstyle.calibration.images import to_array
from instantstyle.distribution.demo.contents import contents
from instantstyle.distribution.demo.server import DemoServer
from instantstyle.metrics.ssim import ssim
from instantstyle.model.checkpoint import load_checkpoint
from instantstyle.model.reference import to_model
from instantstyle.targets.web import runtime

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason=WHY_NOT),
    pytest.mark.skipif(bool(runtime.missing()), reason=f"not installed: {runtime.missing()}: {runtime.remedy()}"),
]
PAINT = """(async () => {
  const file = (text) => new Blob([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))]);
  const style = %(style)s;
  const { after, milliseconds } = await paint(file(%(photo)r), style.file ? file(style.file) : style.name, %(scalars)s);
  let letters = "";
  for (const level of after.data) letters += String.fromCharCode(level);
  return { width: after.width, height: after.height, levels: btoa(letters), milliseconds };
})()"""


@contextmanager
def page(dist: Path, artifact: str, styles: tuple[Path, ...] = ()) -> Iterator[Browser]:
    """The demo in a browser, with its first picture painted."""
    with DemoServer(0, contents(dist, artifact, styles).files) as server, Browser() as browser:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser.open(server.url)
        wait_for(browser, "document.getElementById('state')?.textContent.endsWith(' ms')")
        yield browser
        assert browser.errors == [], "the policy was broken, or a file is missing"
        # The icon is in the page itself.
        assert {url for url in browser.requests if not url.startswith((server.url, "data:"))} == set()
        server.shutdown()


def wait_for(browser: Browser, condition: str) -> None:
    end = time.monotonic() + 120
    while not browser.evaluate(condition):
        assert time.monotonic() < end, browser.evaluate("document.getElementById('state')?.textContent")
        time.sleep(0.1)


def painted(browser: Browser, photo: Image.Image, style: str | Image.Image, **scalars: float) -> np.ndarray:
    """The picture (H, W, 3) that ``window.paint`` makes, in 8 bits."""
    chosen = f"{{ name: {style!r} }}" if isinstance(style, str) else f"{{ file: {base64_png(style)!r} }}"
    found: dict[str, Any] = browser.evaluate(PAINT % {"photo": base64_png(photo), "style": chosen, "scalars": scalars})
    assert found["milliseconds"] > 0
    levels = np.frombuffer(base64.b64decode(found["levels"]), np.uint8).reshape(found["height"], found["width"], 4)
    assert (levels[..., 3] == 255).all()
    return levels[..., :3]


def base64_png(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def made(seed: int, width: int, height: int) -> Image.Image:
    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize(("artifact", "levels"), [("int8-weights", 1), ("float16", 1), ("int8", 1)])
def test_the_page_paints_what_the_toolchain_paints(dist: Path, artifact: str, levels: int) -> None:
    """Photos smaller than the window are mirrored at its border, so that sizes and places show as well as numbers."""
    paint = instantstyle.load(dist / f"web/{artifact}-32x32", threads=1)
    with page(dist, f"web-{artifact}-32") as browser, paint:
        for photo, style, alpha in ((made(1, 32, 32), made(7, 16, 16), 1.0), (made(2, 20, 27), made(8, 16, 16), 0.25)):
            expected = np.asarray(paint(photo, style, alpha=alpha), np.int16)
            found = painted(browser, photo, style, alpha=alpha)
            assert found.shape == expected.shape
            assert np.abs(found - expected).max() <= levels
        assert np.abs(painted(browser, made(2, 20, 27), made(8, 16, 16), alpha=0.25) - np.asarray(made(2, 20, 27), np.int16)).max() > 3


def test_a_style_of_the_bundle_is_its_code(dist: Path) -> None:
    photo = made(3, 32, 32)
    with page(dist, "web-int8-weights") as browser:
        style = Image.open(dist.parent / "validation/styles/15.png").resize((16, 16), Image.Resampling.LANCZOS)
        by_name, by_picture = (painted(browser, photo, each).astype(np.int16) for each in ("15", style))
        # The code is the float encoder's, the other comes of one with weights in 8 bits.
        assert np.abs(by_name - by_picture).max() <= 2
        assert np.abs(by_name - painted(browser, photo, "14")).max() > 5
        with pytest.raises(AssertionError, match="no style '16'; there are 14, 15"):
            painted(browser, photo, "16")


def test_choosing_paints_again_and_the_slider_uncovers_the_photo(dist: Path) -> None:
    with page(dist, "web-int8", (SAMPLES / "validation/styles/gc_Gogh4.jpg",)) as browser:
        assert browser.evaluate("crossOriginIsolated") is True
        assert browser.evaluate("document.getElementById('about').textContent").startswith("painter, web-int8-32x32 (")
        assert browser.evaluate("[...document.querySelectorAll('#styles button')].map((each) => each.title)") == ["14", "15", "gc_Gogh4"]
        picture = "document.getElementById('after').toDataURL()"
        seen = [browser.evaluate(picture)]
        for action in (
            "document.querySelectorAll('#photos button')[3].click()",
            "document.querySelectorAll('#styles button')[2].click()",
            "(() => { const [slider] = document.querySelectorAll('#scalars input'); slider.value = 0.2; slider.oninput(); })()",
        ):
            browser.evaluate(action)
            wait_for(browser, f"{picture} !== {seen[-1]!r}")
            seen.append(browser.evaluate(picture))
        assert len(set(seen)) == 4
        browser.evaluate("(() => { const cut = document.getElementById('cut'); cut.value = 20; cut.dispatchEvent(new Event('input')); })()")
        assert browser.evaluate("getComputedStyle(document.getElementById('after')).clipPath") == "inset(0px 0px 0px 20%)"
        broken = "paint(new Blob(['no picture']), '14').then(() => 'painted', ({ message }) => message)"
        assert "could not be decoded" in browser.evaluate(broken)
        assert painted(browser, made(1, 32, 32), "14").shape == (32, 32, 3), "the next one is painted all the same"


def test_the_policy_lets_the_page_ask_nobody_else(dist: Path) -> None:
    with DemoServer(0, contents(dist).files) as elsewhere, page(dist, "web-int8") as browser:
        threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
        assert browser.evaluate(f"fetch('{elsewhere.url}').then(() => 'sent', (error) => error.name)") == "TypeError"
        assert browser.errors and all("Content Security Policy" in error for error in browser.errors), browser.errors
        browser.errors.clear()
        elsewhere.shutdown()


def test_a_network_of_one_image_in_its_own_range_order_and_size(tmp_path: Path) -> None:
    """Levels, mean, std and the order of channels on the way in and out, twice the size, and no style to choose."""
    torch.manual_seed(3)
    layers = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 12, 3, padding=1), nn.PixelShuffle(2), nn.Sigmoid()
    for seed in range(16):
        made(100 + seed, 32, 32).save(tmp_path / f"{seed}.png")
    encoding = {"range": [0, 255], "mean": [104, 117, 123], "std": [60, 55, 50], "order": "BGR"}
    bundle = instantstyle.export(
        nn.Sequential(*layers),
        images=str(tmp_path / "*.png"),
        targets=["web-int8-weights"],
        input=encoding,
        output={"range": [0, 1], "order": "BGR"},
        quantize="off",
        latency={"threads": 1, "warmup": 1, "runs": 5, "processes": 0, "patience_s": 0},
        size=32,
        out=tmp_path / "dist",
        cache=tmp_path / "cache",
    )
    with page(tmp_path / "dist", "web") as browser, instantstyle.load(bundle, "web", threads=1) as paint:
        assert browser.evaluate("document.getElementById('style').hidden && !document.querySelector('#scalars input')")
        expected = np.asarray(paint(made(5, 30, 17)), np.int16)
        found = painted(browser, made(5, 30, 17), "")
        assert found.shape == expected.shape == (34, 60, 3)
        assert np.abs(found - expected).max() <= 1
        assert expected.std() > 10


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mobile checkpoint's network at 256x256, quantised after training."""
    folder = tmp_path_factory.mktemp("shipped")
    samples = [[str(path) for path in sorted((SAMPLES / name).iterdir())] for name in ("calibration/photos", "calibration/styles")]
    judged = [[str(path) for path in sorted((SAMPLES / name).iterdir())] for name in ("validation/photos", "validation/styles")]
    instantstyle.export(
        to_model(load_checkpoint(ROOT / "checkpoints/instantstyle-mobile.safetensors")),
        images=samples[0][:12],
        styles=samples[1],
        validation=judged[0][:4],
        validation_styles=judged[1][:2],
        targets={"web": ["int8", "int8-weights"]},
        quantize={"method": "ptq", "plan": "off"},
        latency={"threads": 1, "warmup": 1, "runs": 5, "processes": 0, "patience_s": 0},
        size=256,
        out=folder / "dist",
        cache=folder / "cache",
    )
    return folder / "dist"


@pytest.mark.parametrize(("artifact", "least"), [("web-int8-256", 0.98), ("web-int8-weights", 0.998)])
def test_a_photo_in_the_shipped_network_is_pytorchs(shipped: Path, artifact: str, least: float) -> None:
    photo, style = (Image.open(SAMPLES / "validation" / name) for name in ("photos/sk_coffee.jpg", "styles/gc_Gogh4.jpg"))
    network = load_checkpoint(ROOT / "checkpoints/instantstyle-mobile.safetensors")
    photo = photo.resize((256, 256), Image.Resampling.LANCZOS)
    with torch.inference_mode():
        code = network.style_encoder(torch.from_numpy(to_array(style, (512, 512))))
        image = network.stylizer(torch.from_numpy(to_array(photo, (256, 256))), code, torch.ones(1, 1))[0].numpy()
    with page(shipped, artifact) as browser:
        found = painted(browser, photo, "gc_Gogh4").transpose(2, 0, 1)
    assert ssim((image.clip(-1, 1) + 1) * 127.5, found, 0, 255) >= least
