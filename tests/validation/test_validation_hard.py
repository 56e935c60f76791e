import numpy as np
import validation_fakes as fakes

from instantstyle.model.graph import TensorSpec, single_graph
from instantstyle.validation.measure.hard import hard_samples


def by_name() -> dict[str, dict[str, np.ndarray]]:
    return {sample.name: sample.inputs for sample in hard_samples(fakes.model(), fakes.SIZE, fakes.samples(1)[0])}


def test_images_and_strengths_are_all_there() -> None:
    assert list(by_name()) == [
        *("flat black", "flat white", "noise", "checkerboard", "saturated primaries"),
        *("dim", "bright", "low contrast", "over-exposed"),
        *("alpha 0", "alpha 0.25", "alpha 0.5", "alpha 0.75", "alpha 1"),
    ]


def test_they_have_the_shapes_and_ranges_of_the_specs() -> None:
    for inputs in by_name().values():
        assert {name: array.shape for name, array in inputs.items()} == {"photo": (1, 3, 32, 48), "style": (1, 3, 16, 16), "alpha": (1, 1)}
        assert all(array.dtype == np.float32 for array in inputs.values())
        assert inputs["photo"].min() >= -1 and inputs["photo"].max() <= 1


def test_the_photo_is_hard_and_everything_else_ordinary() -> None:
    ordinary, found = fakes.samples(1)[0].inputs, by_name()
    for name in ("flat black", "checkerboard"):
        np.testing.assert_array_equal(found[name]["style"], ordinary["style"])
        assert found[name]["alpha"].item() == 1
    for name, value in (("alpha 0", 0), ("alpha 0.25", 0.25), ("alpha 0.5", 0.5), ("alpha 0.75", 0.75), ("alpha 1", 1)):
        np.testing.assert_array_equal(found[name]["photo"], ordinary["photo"])
        assert found[name]["alpha"].item() == value


def test_the_patterns() -> None:
    found = by_name()
    assert np.unique(found["flat black"]["photo"]) == [-1] and np.unique(found["flat white"]["photo"]) == [1]
    board = found["checkerboard"]["photo"][0, 2]
    assert board[0, 0] == board[7, 7] == board[8, 8] == -1 and board[0, 8] == board[8, 0] == board[31, 39] == 1
    primaries = found["saturated primaries"]["photo"][0]
    colours = {tuple(primaries[:, 5, column]) for column in range(48)}
    assert colours == {(1, -1, -1), (-1, 1, -1), (1, 1, -1), (-1, -1, 1), (1, -1, 1), (-1, 1, 1)}
    noise = found["noise"]["photo"]
    assert abs(noise.mean()) < 0.05 and abs(noise.std() - 2 / 12**0.5) < 0.02


def test_the_photo_badly_exposed() -> None:
    """In levels of 8 bits, as NumPy computes them from the photo's own."""
    levels = (fakes.samples(1)[0].inputs["photo"].astype(np.float64) + 1) * 127.5
    wanted = {
        "dim": 0.12 * levels,
        "bright": 255 - 0.3 * (255 - levels),
        "low contrast": 127.5 + 0.1 * (levels - 127.5),
        "over-exposed": np.minimum(2.5 * levels, 255),
    }
    for name, expected in wanted.items():
        found = (by_name()[name]["photo"].astype(np.float64) + 1) * 127.5
        assert np.abs(found - expected).max() <= 0.5 + 1e-4 and np.abs(found - np.rint(found)).max() < 1e-4
    assert (by_name()["dim"]["photo"].max() + 1) * 127.5 < 32


def test_noise_depends_on_the_seed_alone() -> None:
    ordinary = fakes.samples(1)[0]
    first, again, other = (hard_samples(fakes.model(), fakes.SIZE, ordinary, seed)[2].inputs["photo"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_model_without_scalars_gets_the_images_in_its_own_range() -> None:
    model = single_graph(fakes.Encoder())
    spec = TensorSpec("image", channels=1, minimum=0, maximum=255)
    model = type(model)(model.name, model.graphs, model.scenario, (spec,), model.hot_graph)
    ordinary = type(fakes.samples(1)[0])("x", {"image": np.zeros((1, 1, 16, 16), np.float32)})
    found = {sample.name: sample.inputs["image"] for sample in hard_samples(model, (16, 16), ordinary)}
    assert list(found)[:5] == ["flat black", "flat white", "noise", "checkerboard", "saturated primaries"] and len(found) == 9
    assert found["flat white"].max() == 255 and found["flat black"].max() == 0 and found["checkerboard"].shape == (1, 1, 16, 16)


def test_they_are_pictures_of_8_bits_in_the_networks_own_encoding() -> None:
    spec = TensorSpec("image", minimum=0, maximum=255, mean=(10.0, 20.0, 30.0), order="BGR")
    model = single_graph(fakes.Encoder())
    model = type(model)(model.name, model.graphs, model.scenario, (spec,), model.hot_graph)
    ordinary = type(fakes.samples(1)[0])("x", {"image": np.zeros((1, 3, 16, 48), np.float32)})
    found = {
        sample.name: sample.inputs["image"] + np.array([10, 20, 30])[:, None, None] for sample in hard_samples(model, (16, 48), ordinary)
    }
    np.testing.assert_allclose(found["noise"], np.rint(found["noise"]), atol=1e-4)
    # The first band is red, which is the network's third channel.
    np.testing.assert_allclose(found["saturated primaries"][0, :, 0, 0], [0, 0, 255], atol=1e-4)
