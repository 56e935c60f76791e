"""Reading pictures of every kind, and between pictures and arrays."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from instantstyle.calibration.images import load_image, to_array, to_image
from instantstyle.system.errors import ImageError


def rgb(height: int = 6, width: int = 9, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def saved(folder: Path, image: Image.Image, name: str = "picture.png", **options: Any) -> Path:
    image.save(folder / name, **options)
    return folder / name


def loaded(path: Path) -> np.ndarray:
    image = load_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.ppm", "A.PNG", "no_suffix"])
def test_rgb_is_unchanged(tmp_path: Path, name: str) -> None:
    pixels = rgb()
    path = saved(tmp_path, Image.fromarray(pixels), name, format=None if "." in name else "PNG")
    np.testing.assert_array_equal(loaded(path), pixels)


@pytest.mark.parametrize("name", ["a.webp", "a.jp2"])
def test_lossless_webp_and_jpeg2000(tmp_path: Path, name: str) -> None:
    pixels = rgb(32, 32)
    options = {"lossless": True} if name == "a.webp" else {"irreversible": False}
    np.testing.assert_array_equal(loaded(saved(tmp_path, Image.fromarray(pixels), name, **options)), pixels)


def test_jpeg_is_close(tmp_path: Path) -> None:
    smooth = np.tile(np.linspace(0, 255, 32).astype(np.uint8)[:, None, None], (1, 32, 3))
    assert np.abs(loaded(saved(tmp_path, Image.fromarray(smooth), "a.jpg", quality=95)).astype(int) - smooth).max() <= 4


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(loaded(saved(tmp_path, Image.fromarray(grey))), np.repeat(grey[..., None], 3, axis=2))


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    bits = np.array([[True, False], [False, True]])
    np.testing.assert_array_equal(loaded(saved(tmp_path, Image.fromarray(bits)))[..., 1], [[255, 0], [0, 255]])


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_16_bits_are_scaled_not_clipped(tmp_path: Path, name: str) -> None:
    samples = np.append(np.arange(256) * 257, [128, 129, 32767, 65535 - 129]).astype(np.uint16).reshape(4, 65)
    expected = np.append(np.arange(256), [0, 1, 127, 254]).reshape(4, 65)
    pixels = loaded(saved(tmp_path, Image.fromarray(samples), name))
    np.testing.assert_array_equal(pixels, np.repeat(expected[..., None], 3, axis=2))


def test_16_bits_big_endian(tmp_path: Path) -> None:
    header = struct.pack(">2sHIH", b"MM", 42, 8, 8)
    tags = [(256, 3, 2), (257, 3, 1), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 110), (278, 3, 1), (279, 4, 4)]
    fields = b"".join(
        struct.pack(">HHIHH", tag, kind, 1, value, 0) if kind == 3 else struct.pack(">HHII", tag, kind, 1, value)
        for tag, kind, value in tags
    )
    path = tmp_path / "big.tif"
    path.write_bytes(header + fields + struct.pack(">I", 0) + struct.pack(">HH", 257 * 200, 257 * 3))
    np.testing.assert_array_equal(loaded(path)[0, :, 0], [200, 3])


def test_16_bit_colour_key_becomes_white(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(np.array([[257 * 10, 257 * 20]], np.uint16)), transparency=257 * 10)
    np.testing.assert_array_equal(loaded(path)[0, :, 0], [255, 20])


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_goes_over_white(tmp_path: Path, mode: str) -> None:
    samples = rgb(16, 16).astype(np.float64)[..., :1].repeat(3, axis=2) if mode == "LA" else rgb(16, 16).astype(np.float64)
    alpha = np.random.default_rng(1).integers(0, 256, (16, 16, 1)).astype(np.float64)
    alpha[0, 0], alpha[0, 1] = 0, 255
    image = Image.fromarray(np.concatenate([samples, alpha], axis=2).astype(np.uint8), "RGBA").convert(mode)
    expected = samples * alpha / 255 + 255 * (1 - alpha / 255)
    pixels = loaded(saved(tmp_path, image)).astype(np.float64)
    assert np.abs(pixels - expected).max() <= 1
    np.testing.assert_array_equal(pixels[0, 0], 255)
    np.testing.assert_array_equal(pixels[0, 1], samples[0, 1])


def test_palette_with_transparent_entry(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "L")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    pixels = loaded(saved(tmp_path, image, transparency=1))
    np.testing.assert_array_equal(pixels[0], [[10, 20, 30], [255, 255, 255], [70, 80, 90]])


def test_palette_without_transparency_in_a_gif(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "L")
    image.putpalette([10, 20, 30, 40, 50, 60])
    np.testing.assert_array_equal(loaded(saved(tmp_path, image, "a.gif"))[0], [[10, 20, 30], [40, 50, 60]])


def test_rgb_colour_key_becomes_white(tmp_path: Path) -> None:
    pixels = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    np.testing.assert_array_equal(loaded(saved(tmp_path, Image.fromarray(pixels), transparency=(1, 2, 3)))[0], [[255, 255, 255], [4, 5, 6]])


def test_cmyk(tmp_path: Path) -> None:
    inks = np.random.default_rng(2).integers(0, 256, (8, 8, 4), dtype=np.uint8)
    expected = (255.0 - inks[..., :3]) * (255.0 - inks[..., 3:]) / 255
    assert np.abs(loaded(saved(tmp_path, Image.fromarray(inks, "CMYK"), "a.tif")) - expected).max() <= 1


# How the upright picture d is stored, from the EXIF specification: which visual side is row 0, which is column 0.
STORED = {
    1: lambda d: d,  # top, left
    2: lambda d: d[:, ::-1],  # top, right
    3: lambda d: d[::-1, ::-1],  # bottom, right
    4: lambda d: d[::-1],  # bottom, left
    5: lambda d: d.transpose(1, 0, 2),  # left, top
    6: lambda d: d[:, ::-1].transpose(1, 0, 2),  # right, top
    7: lambda d: d[::-1, ::-1].transpose(1, 0, 2),  # right, bottom
    8: lambda d: d[::-1].transpose(1, 0, 2),  # left, bottom
}


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation(tmp_path: Path, orientation: int, name: str) -> None:
    upright = rgb(6, 9)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    options = {"lossless": True} if name == "a.webp" else {}
    np.testing.assert_array_equal(loaded(saved(tmp_path, stored, name, exif=exif, **options)), upright)


def test_exif_orientation_of_a_16_bit_and_a_transparent_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # row 0 is the right side
    deep = Image.fromarray(np.array([[257, 514]], np.uint16))
    np.testing.assert_array_equal(loaded(saved(tmp_path, deep, "deep.png", exif=exif))[..., 0], [[1], [2]])
    clear = Image.fromarray(np.array([[[9, 9, 9, 255], [9, 9, 9, 0]]], np.uint8), "RGBA")
    np.testing.assert_array_equal(loaded(saved(tmp_path, clear, "clear.png", exif=exif))[..., 0], [[9], [255]])


def test_float_is_zero_to_one(tmp_path: Path) -> None:
    samples = np.array([[0, 0.25, 0.5, 1]], np.float32)
    np.testing.assert_array_equal(loaded(saved(tmp_path, Image.fromarray(samples), "a.tif"))[0, :, 2], [0, 64, 128, 255])


def refused(path: Path) -> str:
    """The message, which has to name the file."""
    with pytest.raises(ImageError) as error:
        load_image(path)
    assert str(path) in str(error.value)
    return str(error.value).replace(str(path), "")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_float_that_is_not_finite_is_refused(tmp_path: Path, value: float) -> None:
    samples = np.full((4, 4), 0.5, np.float32)
    samples[2, 1] = value
    assert "NaN or infinite" in refused(saved(tmp_path, Image.fromarray(samples), "a.tif"))


def test_float_beyond_one_is_refused(tmp_path: Path) -> None:
    assert "0 to 255" in refused(saved(tmp_path, Image.fromarray(np.array([[0, 255]], np.float32)), "a.tif"))


def test_32_bit_integers_beyond_16_bits_are_refused(tmp_path: Path) -> None:
    assert "5 to 65536 do not fit 16 bits" in refused(saved(tmp_path, Image.fromarray(np.array([[5, 65536]], np.int32)), "a.tif"))


def test_lab_is_refused(tmp_path: Path) -> None:
    transform = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(Image.fromarray(rgb()), transform)
    assert lab is not None
    assert "L*a*b*" in refused(saved(tmp_path, lab, "a.tif"))


def test_missing_empty_and_foreign_files_are_refused(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "missing.jpg")
    (tmp_path / "empty.jpg").touch()
    assert "0 bytes" in refused(tmp_path / "empty.jpg")
    (tmp_path / "text.jpg").write_text("This is not a picture.\n" * 50)
    assert "not an image of a known format" in refused(tmp_path / "text.jpg")
    (tmp_path / "folder.jpg").mkdir()
    assert "cannot be read" in refused(tmp_path / "folder.jpg")


def test_a_postscript_file_is_never_run(tmp_path: Path) -> None:
    assert "not an image of a known format" in refused(saved(tmp_path, Image.fromarray(rgb()), "a.eps"))


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp", "a.gif", "a.bmp"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_truncated_files_are_refused(tmp_path: Path, name: str, share: float) -> None:
    path = saved(tmp_path, Image.fromarray(rgb(64, 64)), name)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert "damaged or truncated" in refused(path) or name == "a.webp"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_one_damaged_byte_of_a_png_is_noticed(tmp_path: Path, share: float) -> None:
    path = saved(tmp_path, Image.fromarray(rgb(64, 64)), compress_level=0)  # stored, so that the damage still decompresses
    data = bytearray(path.read_bytes())
    data[int(len(data) * share)] ^= 1
    path.write_bytes(data)
    assert "damaged or truncated" in refused(path)


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_a_decompression_bomb_is_refused_unread(tmp_path: Path, side: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b""))
    assert "more than 89,478,485 pixels" in refused(path)


def test_to_array_maps_levels_linearly() -> None:
    pixels = np.arange(768, dtype=np.int64).reshape(16, 16, 3) % 256
    array = to_array(Image.fromarray(pixels.astype(np.uint8)), (16, 16))
    assert array.dtype == np.float32
    assert array.flags.c_contiguous
    assert (array.min(), array.max()) == (-1, 1)
    np.testing.assert_allclose(array[0], pixels.transpose(2, 0, 1) / 127.5 - 1, atol=1e-7)


def test_to_array_crops_the_centre() -> None:
    pixels = rgb(8, 20)
    np.testing.assert_array_equal(to_array(Image.fromarray(pixels), (8, 8)), to_array(Image.fromarray(pixels[:, 6:14]), (8, 8)))
    np.testing.assert_array_equal(to_array(Image.fromarray(pixels), (8, 16)), to_array(Image.fromarray(pixels[:, 2:18]), (8, 16)))
    np.testing.assert_array_equal(to_array(Image.fromarray(pixels), (2, 20)), to_array(Image.fromarray(pixels[3:5]), (2, 20)))


def lanczos(pixels: np.ndarray, length: int) -> np.ndarray:
    """Rows resampled with a Lanczos window of three lobes, as wide as the reduction."""
    scale = len(pixels) / length
    reach = max(scale, 1.0)
    centres = (np.arange(length) + 0.5) * scale
    distance = (np.arange(len(pixels)) + 0.5 - centres[:, None]) / reach
    weights = np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0)
    return np.tensordot(weights / weights.sum(axis=1, keepdims=True), pixels, axes=1)


@pytest.mark.parametrize("size", [(12, 18), (48, 72)])
def test_to_array_resamples_with_lanczos(size: tuple[int, int]) -> None:
    pixels = rgb(24, 36) // 4 + 96  # so that nothing is clipped
    rows = lanczos(pixels.astype(np.float64), size[0])
    expected = lanczos(rows.transpose(1, 0, 2), size[1]).transpose(1, 0, 2)
    levels = (to_array(Image.fromarray(pixels), size)[0].transpose(1, 2, 0) + 1) * 127.5
    assert levels.shape == expected.shape
    assert np.abs(levels - expected).max() < 1.5  # Pillow rounds after each of its two passes


def test_to_array_refuses_another_mode() -> None:
    with pytest.raises(ValueError, match="mode P"):
        to_array(Image.new("P", (4, 4)), (4, 4))


def test_to_image_inverts_to_array() -> None:
    pixels = (np.arange(768) % 256).astype(np.uint8).reshape(8, 32, 3)
    np.testing.assert_array_equal(np.asarray(to_image(to_array(Image.fromarray(pixels), (8, 32)))), pixels)


def test_to_image_clips_and_rounds() -> None:
    array = np.array([-1.5, -1, -1 + 0.9 / 127.5, -1 + 0.4 / 127.5, 1, 7], np.float32).reshape(1, 1, 1, 6).repeat(3, axis=1)
    np.testing.assert_array_equal(np.asarray(to_image(array))[0, :, 0], [0, 0, 1, 0, 255, 255])


def test_to_image_refuses_nan_and_other_shapes() -> None:
    with pytest.raises(ValueError, match="NaN"):
        to_image(np.full((1, 3, 2, 2), np.nan))
    with pytest.raises(ValueError, match=r"\(2, 3, 4, 4\)"):
        to_image(np.zeros((2, 3, 4, 4)))
