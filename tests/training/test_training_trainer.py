import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle
from training_nets import tiny_network

from instantstyle.metrics.perceptual import PerceptualNetwork
from instantstyle.model.content_encoder import ContentFeatures
from instantstyle.model.network import InstantStyle
from instantstyle.system.errors import RecipeError, TrainingError
from instantstyle.training.images import split_data
from instantstyle.training.journal import Journal, read_metrics
from instantstyle.training.pairs import PairCache, build_pairs
from instantstyle.training.recipe import LossWeights, TrainingRecipe, TrainingStage
from instantstyle.training.state import STATE, save_state
from instantstyle.training.style_statistics import style_statistics
from instantstyle.training.trainer import Trainer, rate_at, steps_of


def silent(what: str, done: int, total: int) -> None:
    pass


@pytest.fixture
def cache(recipe: TrainingRecipe, teacher: type) -> PairCache:
    photos, artworks = split_data(recipe.data, recipe.path.parent)
    return build_pairs(photos.training, artworks.training, recipe.path.parent / "pairs", recipe.data, silent)


def trainer_in(folder: Path, recipe: TrainingRecipe, cache: PairCache) -> Trainer:
    return Trainer(recipe.model_copy(update={"run": recipe.run.model_copy(update={"folder": folder})}), cache, tiny_network(), silent)


def ignore(*_: object) -> None:
    pass


class Killed(BaseException):
    pass


@pytest.mark.parametrize("killed_after", [1, 3, 4, 6])
def test_killed_and_resumed_run_ends_with_the_same_weights(
    recipe: TrainingRecipe, cache: PairCache, tmp_path: Path, killed_after: int
) -> None:
    whole = trainer_in(tmp_path / "whole", recipe, cache)
    seen: list[dict[str, float]] = []
    whole.run(seen.append, ignore)

    def die(losses: dict[str, float]) -> None:
        if first.done_steps == killed_after:
            raise Killed

    first = trainer_in(tmp_path / "killed", recipe, cache)
    with pytest.raises(Killed):
        first.run(die, ignore)
    again = trainer_in(tmp_path / "killed", recipe, cache)
    # At most one checkpoint interval is lost; stages end with a checkpoint too.
    assert again.done_steps == {1: 0, 3: 2, 4: 3, 6: 5}[killed_after]
    seen_again: list[dict[str, float]] = []
    again.run(seen_again.append, ignore)
    assert seen_again == seen[again.total_steps - len(seen_again) :]
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name
        assert torch.equal(whole.average[name], again.average[name]), name


def test_killed_run_with_a_critic_ends_with_the_same_weights(recipe: TrainingRecipe, cache: PairCache, tmp_path: Path) -> None:
    losses = LossWeights(l1=1.0, octaves=0.5, consistency=0.5, adversarial=0.2)
    stage = recipe.stages[1].model_copy(update={"losses": losses, "partial_alpha": 0.2, "steps": 6})
    recipe = recipe.model_copy(update={"stages": (recipe.stages[0], stage)})
    torch.manual_seed(0)
    whole = trainer_in(tmp_path / "whole", recipe, cache)
    seen: list[dict[str, float]] = []
    whole.run(seen.append, ignore)
    assert set(seen[-1]) == {"l1", "octaves", "consistency", "adversarial", "norm", "critic"} and "critic" not in seen[0]

    def die(losses: dict[str, float]) -> None:
        if first.done_steps == 6:
            raise Killed

    torch.manual_seed(0)
    first = trainer_in(tmp_path / "killed", recipe, cache)
    with pytest.raises(Killed):
        first.run(die, ignore)
    again = trainer_in(tmp_path / "killed", recipe, cache)
    assert again.done_steps == 5
    again.run(ignore, ignore)
    assert whole.critic is not None and again.critic is not None
    for left, right in ((whole.network, again.network), (whole.critic.network, again.critic.network)):
        for name, value in left.state_dict().items():
            assert torch.equal(value, right.state_dict()[name]), name


def test_statistics_of_artworks_are_made_at_first_use(recipe: TrainingRecipe, cache: PairCache, tmp_path: Path) -> None:
    stage = recipe.stages[0].model_copy(update={"losses": LossWeights(l1=1.0, style=2.0), "batch": 1, "partial_alpha": 0.0})
    trainer = trainer_in(tmp_path / "run", recipe.model_copy(update={"stages": (stage,)}), cache)
    batch = trainer.batch()
    losses = trainer._losses(batch)
    assert trainer.statistics is not None and trainer.statistics.made.nonzero()[0].tolist() == batch.styles.tolist()
    vgg = PerceptualNetwork()
    with torch.no_grad():
        image = functional.interpolate(cache.style_images(batch.styles), (384, 384), mode="bilinear", antialias=True)
        wanted = style_statistics(vgg(image))
        found = style_statistics(
            vgg(trainer.network.stylizer(batch.photo, trainer.network.style_encoder(cache.style_images(batch.styles)), torch.ones(1, 1)))
        )
        distance = sum(functional.mse_loss(a, b) / (b.square().mean() + 1e-3) for a, b in zip(found, wanted, strict=True))
    assert losses["style"].item() == pytest.approx(float(distance), rel=0.2)


def test_twins_are_a_photo_and_its_damaged_copy(recipe: TrainingRecipe, cache: PairCache, tmp_path: Path) -> None:
    stage = recipe.stages[1].model_copy(update={"losses": LossWeights(l1=1.0, consistency=1.0), "partial_alpha": 0.5})
    trainer = trainer_in(tmp_path / "run", recipe.model_copy(update={"stages": (stage,)}), cache)
    trainer.network.stylizer.decoder = Copies()  # type: ignore[assignment]
    for step in range(4):
        trainer.step = step
        batch = trainer.batch()
        assert torch.equal(batch.target[::2], batch.target[1::2]) and torch.equal(batch.alpha[::2], batch.alpha[1::2])
        apart = (batch.photo[::2] - batch.photo[1::2]).abs()
        assert (apart.flatten(1).mean(1) > 0).all() and apart.mean() < 0.2
        # Where the photo is painted as it is, the twins are apart by their damage, in [0, 1].
        assert trainer._losses(batch)["consistency"].item() == pytest.approx(apart.mean().item() / 2, rel=1e-5)


def test_losses_and_first_step_are_those_of_plain_pytorch(recipe: TrainingRecipe, cache: PairCache, tmp_path: Path) -> None:
    """The first step again, by hand: L1 in [0, 1], Adam, linear warm-up."""
    stage = recipe.stages[1].model_copy(update={"partial_alpha": 0.0, "clip": 0.0, "warmup": 0.5, "steps": 10})
    trainer = trainer_in(tmp_path / "run", recipe.model_copy(update={"stages": (stage,)}), cache)
    batch = trainer.batch()
    network = copy.deepcopy(trainer.network).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=stage.learning_rate * 0.2, betas=(0.9, 0.99))
    code = network.style_encoder(torch.cat([cache.style_images(np.array([s])).flip(3 if batch.flip else 0) for s in batch.styles]))
    output = network.stylizer(batch.photo, code.repeat_interleave(2, 0), torch.ones(4, 1))
    loss = functional.l1_loss((output + 1) / 2, (batch.target + 1) / 2)
    loss.backward()
    optimizer.step()
    losses = trainer.train_step()
    assert losses["l1"] == pytest.approx(loss.item(), rel=1e-5)
    for (name, value), wanted in zip(trainer.network.named_parameters(), network.parameters(), strict=True):
        assert torch.allclose(value, wanted, atol=2e-6), name


def test_batch_is_photo_and_teacher_at_the_same_place(recipe: TrainingRecipe, cache: PairCache, tmp_path: Path) -> None:
    stage = recipe.stages[1].model_copy(update={"partial_alpha": 1.0})
    trainer = trainer_in(tmp_path / "run", recipe.model_copy(update={"stages": (stage,)}), cache)
    alphas: set[float] = set()
    for step in range(12):
        trainer.step = step
        batch = trainer.batch()
        tints = torch.from_numpy(cache.vectors[np.repeat(batch.styles, 2), :3])[:, :, None, None] * 2 - 1
        painted = batch.photo * 0.5 + 0.5 * tints  # what the fake teacher does, in [-1, 1]
        assert (batch.target - painted).abs().max() < 0.03
        alphas |= set(batch.alpha.flatten().tolist())
    assert alphas == {0.0, 0.25, 0.5, 0.75}


class Copies(nn.Module):
    """A decoder that paints the photo."""

    def paint(self, content: ContentFeatures, code: Tensor, alpha: Tensor) -> Tensor:
        return content.photo


class Black(nn.Module):
    """A decoder that paints black and remembers the alphas that it was asked for."""

    def paint(self, content: ContentFeatures, code: Tensor, alpha: Tensor) -> Tensor:
        self.alpha = alpha[:, 0].tolist()
        height, width = content.half.shape[2:]
        return torch.full((len(alpha), 3, 2 * height, 2 * width), -1.0)


@pytest.mark.parametrize("sweep", [False, True])
def test_alpha_0_should_give_the_photo_and_alpha_1_the_target(
    recipe: TrainingRecipe, cache: PairCache, tmp_path: Path, sweep: bool
) -> None:
    stage = recipe.stages[1].model_copy(update={"partial_alpha": 1.0, "sweep": sweep})
    trainer = trainer_in(tmp_path / "run", recipe.model_copy(update={"stages": (stage,)}), cache)
    trainer.network.stylizer.decoder = decoder = Black()  # type: ignore[assignment]
    batch = trainer.batch()
    loss = trainer._losses(batch)["l1"].item()
    photo, target = (images.double().numpy() / 2 + 0.5 for images in (batch.photo, batch.target))
    if sweep:
        assert decoder.alpha == [0, 0.25, 0.5, 0.75, 1] * len(photo)
        assert loss == pytest.approx((photo.mean() + target.mean()) / 2, rel=1e-5)
    else:
        weight = batch.alpha.double().numpy()[:, :, None, None]
        assert decoder.alpha == batch.alpha[:, 0].tolist()
        assert loss == pytest.approx(((1 - weight) * photo + weight * target).mean(), rel=1e-5)


def test_frozen_style_encoder_stays_bit_for_bit(recipe: TrainingRecipe, cache: PairCache, tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path / "run", recipe.model_copy(update={"stages": recipe.stages[:1]}), cache)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    trainer.run(ignore, ignore)
    moved = {name for name, value in trainer.network.state_dict().items() if not torch.equal(value, before[name])}
    assert moved and not any(name.startswith("style_encoder.") for name in moved)
    assert any(name.startswith("stylizer.decoder.adain_eighth.affine") for name in moved)
    # The codes that the frozen encoder gives are computed once, and are its own.
    (stored,) = (tmp_path / "run").glob("codes-0-*.npy")
    codes = np.load(stored)
    with torch.no_grad():
        wanted = trainer.network.style_encoder(cache.style_images(np.array([2])))[0].numpy()
    assert np.abs(codes[2] - wanted).max() < 1e-5


def test_average_is_the_moving_average(recipe: TrainingRecipe, cache: PairCache, tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path / "run", recipe.model_copy(update={"stages": recipe.stages[:1]}), cache)
    name = "stylizer.decoder.to_rgb.weight"
    wanted = trainer.network.state_dict()[name].double()
    for step in range(3):
        trainer.train_step()
        decay = min(0.9, (2 + step) / (11 + step))
        wanted = decay * wanted + (1 - decay) * trainer.network.state_dict()[name].double()
    assert torch.allclose(trainer.average[name].double(), wanted, atol=1e-7)
    assert torch.equal(trainer.averaged().state_dict()[name], trainer.average[name])


def test_other_settings_do_not_continue_a_run(recipe: TrainingRecipe, cache: PairCache, tmp_path: Path) -> None:
    trainer_in(tmp_path / "run", recipe, cache).run(ignore, ignore)
    changed = recipe.stages[0].model_copy(update={"learning_rate": 1e-2})
    with pytest.raises(RecipeError, match=r"other settings \(stages\[0\].learning_rate\).*--restart"):
        trainer_in(tmp_path / "run", recipe.model_copy(update={"stages": (changed, recipe.stages[1])}), cache)


def test_constant_stage_may_be_made_longer_or_shorter_as_it_goes(recipe: TrainingRecipe, cache: PairCache, tmp_path: Path) -> None:
    """Three steps of a stage of three, of a hundred, and of a hundred that is cut to three and followed by another: the same weights."""
    stage = recipe.stages[0].model_copy(update={"warmup": 0.0, "frozen_norm": 0.0})

    def trainer(folder: str, *stages: TrainingStage) -> Trainer:
        return trainer_in(tmp_path / folder, recipe.model_copy(update={"stages": stages}), cache)

    short = trainer("short", stage)
    short.run(ignore, ignore)
    long = trainer("long", stage.model_copy(update={"steps": 100}))
    for _ in range(3):
        long.train_step()
    long.save()
    cut = trainer("long", stage, recipe.stages[1])
    for name, value in short.network.state_dict().items():
        assert torch.equal(value, cut.network.state_dict()[name]), name
    assert cut.done_steps == 3 and cut.total_steps == 7
    cosine = stage.model_copy(update={"schedule": "cosine"})
    trainer("cosine", cosine).save()
    with pytest.raises(RecipeError, match=r"stages\[0\].steps"):
        trainer("cosine", cosine.model_copy(update={"steps": 100}))


def test_margin_and_damage(recipe: TrainingRecipe, cache: PairCache, tmp_path: Path) -> None:
    """The teacher's border is never learnt from; of a damaged photo only the photo is damaged."""
    stage = recipe.stages[1].model_copy(update={"damage": 0.5, "partial_alpha": 0.0})
    data = recipe.data.model_copy(update={"margin": 96})
    both = recipe.model_copy(update={"stages": (stage,), "data": data})
    whole = both.model_copy(update={"stages": (stage.model_copy(update={"damage": 0.0}),)})
    cache.targets.array[:, :96] = cache.targets.array[:, -96:] = 0
    cache.targets.array[:, :, :96] = cache.targets.array[:, :, -96:] = 0
    damaged = 0
    trainers = trainer_in(tmp_path / "a", both, cache), trainer_in(tmp_path / "b", whole, cache)
    for step in range(8):
        for trainer in trainers:
            trainer.step = step
        hurt, clean = (trainer.batch() for trainer in trainers)
        assert torch.equal(hurt.target, clean.target) and hurt.target.amin() > -1
        damaged += int((hurt.photo != clean.photo).flatten(1).any(1).sum())
    assert 8 <= damaged <= 24


def test_longer_recipe_goes_on(recipe: TrainingRecipe, cache: PairCache, tmp_path: Path) -> None:
    trainer_in(tmp_path / "run", recipe, cache).run(ignore, ignore)
    more = recipe.stages[0].model_copy(update={"name": "more"})
    longer = trainer_in(tmp_path / "run", recipe.model_copy(update={"stages": (*recipe.stages, more)}), cache)
    assert (longer.done_steps, longer.total_steps) == (7, 10)
    longer.run(ignore, ignore)
    assert longer.finished


def test_damaged_state_is_an_error_with_a_way_out(recipe: TrainingRecipe, cache: PairCache, tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path / "run", recipe, cache)
    trainer.save()
    state = tmp_path / "run" / STATE
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(RecipeError, match="state.pt: damaged .*; delete it"):
        trainer_in(tmp_path / "run", recipe, cache)


def test_gradient_that_is_not_finite_changes_nothing(recipe: TrainingRecipe, cache: PairCache, tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path / "run", recipe.model_copy(update={"stages": recipe.stages[1:]}), cache)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    trainer.network.stylizer.decoder.to_rgb.register_full_backward_hook(lambda module, given, out: (given[0] * float("nan"),))
    assert np.isnan(trainer.train_step()["norm"])
    # The statistics of batch norms included, which the forward pass alone moves; and of the moving average.
    for now in (trainer.network.state_dict(), trainer.average):
        assert [name for name, value in before.items() if not torch.equal(value, now[name])] == []
    assert (trainer.guard.skipped, trainer.step) == (1, 1)


def poison(trainer: Trainer) -> RemovableHandle:
    """From now on all pictures are NaN."""

    def spoil(module: nn.Module, given: object, out: Tensor) -> Tensor:
        return out * float("nan")

    return trainer.network.stylizer.decoder.to_rgb.register_forward_hook(spoil)


def test_a_few_skipped_steps_are_counted_and_many_in_a_row_stop_the_run(recipe: TrainingRecipe, cache: PairCache, tmp_path: Path) -> None:
    stage = recipe.stages[1].model_copy(update={"steps": 40})
    longer = recipe.model_copy(update={"stages": (stage,)})
    trainer = trainer_in(tmp_path / "run", longer, cache)
    trainer.train_step()
    hook = poison(trainer)
    for _ in range(9):
        trainer.train_step()
    hook.remove()
    assert np.isfinite(trainer.train_step()["norm"])  # counting starts again
    poison(trainer)
    with pytest.raises(TrainingError, match=r"the loss was NaN or infinite 10 steps in a row, up to step 21, .*lower learning_rate"):
        trainer.run(ignore, ignore)
    assert trainer.guard.skipped == 19
    again = trainer_in(tmp_path / "run", longer, cache)
    assert again.done_steps == 20
    assert all(torch.isfinite(value).all() for value in again.network.state_dict().values())


def test_weights_that_are_not_finite_are_neither_saved_nor_resumed_from(recipe: TrainingRecipe, cache: PairCache, tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path / "run", recipe, cache)
    trainer.average["stylizer.decoder.to_rgb.bias"].fill_(float("inf"))
    with pytest.raises(TrainingError, match=r"step 0: NaN or infinity in stylizer\.decoder\.to_rgb\.bias; not kept"):
        trainer.save()
    assert not (tmp_path / "run" / STATE).exists()
    state = {"network": trainer.network.state_dict(), "average": trainer.average, "stage": 0, "step": 1, "optimizer": {}}
    save_state(tmp_path / "run", recipe, state)  # as earlier versions did
    with pytest.raises(RecipeError, match=r"NaN or infinity in .*to_rgb\.bias, so this run is lost; --restart"):
        trainer_in(tmp_path / "run", recipe, cache)


def test_codes_are_those_of_the_encoder_at_hand(recipe: TrainingRecipe, cache: PairCache, tmp_path: Path) -> None:
    """A run that starts again from another encoder, in the same folder."""
    frozen = recipe.model_copy(update={"stages": recipe.stages[:1]})
    again = frozen.model_copy(update={"run": recipe.run.model_copy(update={"folder": tmp_path / "run"})})
    old, new = (Trainer(again, cache, tiny_network(seed), silent) for seed in (0, 1))
    first, second = (trainer._fixed_codes(np.arange(4)) for trainer in (old, new))
    with torch.no_grad():
        wanted = new.network.style_encoder(cache.style_images(np.array([2])))[0]
    assert first is not None and second is not None
    assert (second[2] - wanted).abs().max() < 1e-5 < (first[2] - wanted).abs().max()


def test_published_schedule() -> None:
    stage = TrainingStage(name="published", epochs=100, batch=8, warmup=0.05)
    assert steps_of(stage, pairs=800) == 10_000
    assert [rate_at(step / 10_000, stage) for step in (100, 250, 500, 9_000)] == pytest.approx([0.2, 0.5, 1.0, 1.0])


def test_cosine_ends_at_two_percent() -> None:
    stage = TrainingStage(name="cosine", steps=10, warmup=0.2, schedule="cosine")
    assert [rate_at(share, stage) for share in (0.1, 0.2, 0.6, 1.0)] == pytest.approx([0.5, 1.0, 0.51, 0.02])


def test_journal_drops_what_the_kill_has_undone(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0, every=2)
    rows = [journal.add(step, "s", {"l1": float(step)}, 4) for step in range(1, 9)]
    journal.close()
    assert [row["l1"] for row in rows if row] == [1.5, 3.5, 5.5, 7.5]
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9, "st')
    Journal(tmp_path, 5, every=2).close()
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [2, 4]
    assert all(json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines())


def test_skipped_steps_are_counted_in_the_metrics(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0, every=2)
    losses = (1.0, float("nan"), float("inf"), float("nan"))
    rows = [journal.add(step, "s", {"l1": loss}, 4) for step, loss in enumerate(losses, 1)]
    journal.close()
    assert rows[1] is not None and (rows[1]["l1"], rows[1]["skipped_steps"]) == (1.0, 1)
    assert rows[3] is not None and "l1" not in rows[3] and rows[3]["skipped_steps"] == 2
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()


def test_tensorboard_has_the_same_numbers(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    journal = Journal(tmp_path, 0, every=1)
    for step in (1, 2, 3):
        journal.add(step, "s", {"l1": step / 8}, 1)
    journal.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("l1")] == [(1, 0.125), (2, 0.25), (3, 0.375)]


def test_averaged_network_is_an_evaluated_instantstyle(recipe: TrainingRecipe, cache: PairCache, tmp_path: Path) -> None:
    network = trainer_in(tmp_path / "run", recipe, cache).averaged()
    assert isinstance(network, InstantStyle) and not network.training
