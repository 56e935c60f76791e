"""The training loop: stages of a recipe over teacher pairs, resumable at every checkpoint."""

import hashlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..metrics.perceptual import PerceptualNetwork
from ..model.content_encoder import ContentFeatures
from ..model.finite import FiniteSteps, require_finite
from ..model.network import InstantStyle
from ..model.precision import working_dtype
from .codes import target_codes
from .critic import Critic
from .damage import damage
from .images import to_tensor
from .pairs import PairCache, Say
from .picture_losses import Batch, PictureLosses
from .recipe import TrainingRecipe, TrainingStage
from .rows import Rows
from .sizes import ALPHAS, CONTENT_SIZE
from .state import load_state, save_state
from .style_statistics import STATISTICS, style_statistics

FINAL_RATE = 0.02
PARTIAL_ALPHAS = (0.0, 0.0, 0.25, 0.5, 0.75)


def rate_at(progress: float, stage: TrainingStage) -> float:
    """The share of the peak learning rate at ``progress`` (0 to 1) of a stage: linear warm-up, then the schedule."""
    if progress < stage.warmup:
        return progress / stage.warmup
    if stage.schedule == "constant":
        return 1.0
    rest = (progress - stage.warmup) / max(1e-9, 1 - stage.warmup)
    return FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * min(1.0, rest)))


def steps_of(stage: TrainingStage, pairs: int) -> int:
    """Optimiser steps of a stage."""
    return stage.steps or max(1, round((stage.epochs or 0) * pairs / stage.batch))


class Trainer:
    """The state of a run: ``run`` goes on from the last checkpoint in the run's folder to the end of the recipe.

    Args:
        recipe: what to do.
        cache: teacher pairs.
        network: its weights are the start.
        say: called with what is prepared, how many are done and of how many.
    """

    def __init__(self, recipe: TrainingRecipe, cache: PairCache, network: InstantStyle, say: Say) -> None:
        self.recipe, self.cache, self.say = recipe, cache, say
        self.folder = recipe.run.folder
        self.folder.mkdir(parents=True, exist_ok=True)
        wanted = recipe.run.device
        self.device = torch.device(wanted if wanted != "auto" else "cuda" if torch.cuda.is_available() else "cpu")
        self.bfloat16 = {"auto": working_dtype(self.device) is torch.bfloat16, "bfloat16": True, "float32": False}[recipe.run.precision]
        # In bfloat16 with channels last a step takes half as long (0.38 s to 0.76 s on one core with AMX); in float32 it changes nothing.
        self.layout = torch.channels_last if self.bfloat16 else torch.contiguous_format
        self.network = network.to(self.device).to(memory_format=self.layout)  # type: ignore[call-overload]
        self.average = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self.perceptual = (
            PerceptualNetwork(self.device, working_dtype(self.device)) if any(stage.needs_vgg for stage in recipe.stages) else None
        )
        self.statistics = self._statistics_of_styles()
        self.target_codes = self._target_codes()
        self.critic = self._new_critic()
        self.picture_losses = PictureLosses(self.perceptual, self.statistics, self.critic)
        self.pairs_of_style = [np.flatnonzero(cache.style_of == index) for index in range(len(cache.styles))]
        self.stage_index, self.step = 0, 0
        self.optimizer: torch.optim.Adam | None = None
        self.guard = FiniteSteps(f"{recipe.path}", 'lower learning_rate of the stage, give it a clip, or set run.precision = "float32"')
        self.codes: Rows | None = None
        self._enter_stage()
        self._resume()

    @property
    def stage(self) -> TrainingStage:
        """The stage at hand."""
        return self.recipe.stages[self.stage_index]

    @property
    def stage_steps(self) -> int:
        """Steps of the stage at hand."""
        return steps_of(self.stage, len(self.cache.style_of))

    @property
    def finished(self) -> bool:
        """Whether the last stage is at its end."""
        return self.stage_index == len(self.recipe.stages) - 1 and self.step >= self.stage_steps

    @property
    def done_steps(self) -> int:
        """Steps of all stages up to now."""
        before = self.recipe.stages[: self.stage_index]
        return sum(steps_of(stage, len(self.cache.style_of)) for stage in before) + self.step

    @property
    def total_steps(self) -> int:
        """Steps of all stages."""
        return sum(steps_of(stage, len(self.cache.style_of)) for stage in self.recipe.stages)

    def averaged(self) -> InstantStyle:
        """A network with the moving average of the weights, on the CPU, in eval mode."""
        network = InstantStyle(self.network.config)
        network.load_state_dict(self.average)
        return network.eval()

    # Preparation

    def _new_critic(self) -> Critic | None:
        rates = [stage.critic_rate for stage in self.recipe.stages if stage.losses.adversarial]
        return Critic(self.network.config.style_dim, rates[0], self.device) if rates else None

    def _statistics_of_styles(self) -> Rows | None:
        """VGG means and deviations (S + K, STATISTICS) of every style image, at the photos' size: a texture's statistics depend on it."""
        perceptual = self.perceptual
        if perceptual is None or not any(stage.needs_statistics for stage in self.recipe.stages):
            return None

        @torch.no_grad()
        def row(index: int) -> np.ndarray:
            image = self.cache.style_images(np.array([index])).to(self.device)
            image = functional.interpolate(image, (CONTENT_SIZE, CONTENT_SIZE), mode="bilinear", antialias=True)
            return torch.cat(style_statistics(perceptual(image)), dim=1)[0].cpu().numpy()

        return Rows(self.cache.folder / "statistics.npy", (self.cache.style_count, STATISTICS), np.float32, row)

    def _target_codes(self) -> Tensor | None:
        """Target codes of all style images, where a stage wants them."""
        if self.statistics is None or not any(stage.losses.code or stage.codes == "target" for stage in self.recipe.stages):
            return None
        self.statistics.make_all(lambda done, total: self.say("statistics", done, total))
        return target_codes(self.cache.vectors, self.statistics.array, self.network.config.style_dim).to(self.device)

    def _codes_of_styles(self) -> Rows:
        """Codes (S, style_dim) of the style images, for a stage that does not train the style encoder."""

        @torch.no_grad()
        def row(index: int) -> np.ndarray:
            image = self.cache.style_images(np.array([index])).to(self.device)
            return self.network.style_encoder(image)[0].float().cpu().numpy()

        # By what they are made of: a run that starts again may start from another encoder.
        encoder = b"".join(value.cpu().numpy().tobytes() for value in self.network.style_encoder.state_dict().values())
        made_of = hashlib.sha256(encoder + self.cache.folder.name.encode()).hexdigest()[:12]
        path = self.folder / f"codes-{self.stage_index}-{made_of}.npy"
        return Rows(path, (len(self.cache.styles), self.network.config.style_dim), np.float32, row)

    def _enter_stage(self) -> None:
        """Starts from the moving average of what was before, with a new optimiser."""
        self.network.load_state_dict(self.average)
        self.step = 0
        stage = self.stage
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(not any(name == frozen or name.startswith(f"{frozen}.") for frozen in stage.freeze))
        self.parameters = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, lr=stage.learning_rate, betas=(0.9, 0.99))
        self.codes = None

    def _fixed_codes(self, styles: np.ndarray) -> Tensor | None:
        """Codes (N, style_dim) of the styles where they do not change, computed at first use; None if the style encoder is to be asked."""
        if self.stage.codes == "target":
            assert self.target_codes is not None
            return self.target_codes[styles]
        if "style_encoder" not in self.stage.freeze:
            return None
        if self.codes is None:
            self.codes = self._codes_of_styles()
        return torch.from_numpy(np.stack([self.codes[index] for index in styles])).to(self.device)

    # State

    def _resume(self) -> None:
        state = load_state(self.folder, self.recipe)
        if state is None:
            return
        while self.stage_index < state["stage"]:
            self.stage_index += 1
        self.average = {name: value.to(self.device) for name, value in state["average"].items()}
        self._enter_stage()
        assert self.optimizer is not None
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        # A run that began before a later stage asked for a critic has none to restore.
        if self.critic is not None and "critic" in state:
            self.critic.restore(state["critic"])

    def save(self) -> None:
        """Writes the state of the run, atomically. TrainingError if a weight is NaN or infinite."""
        for rows in (self.cache.targets, self.codes, self.statistics):
            if rows is not None:
                rows.save()
        assert self.optimizer is not None
        for weights in (self.network.state_dict(), self.average):
            require_finite(weights, f"{self.folder}, step {self.done_steps}", self.guard.remedy)
        state: dict[str, Any] = {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "stage": self.stage_index,
            "step": self.step,
        }
        if self.critic is not None:
            state["critic"] = self.critic.state()
        save_state(self.folder, self.recipe, state)

    # Steps

    def _batch(self) -> Batch:
        """The batch of this step: it follows from seed, stage and step alone, so that a resumed run sees the same."""
        stage, cache = self.stage, self.cache
        random = np.random.default_rng((self.recipe.run.seed, self.stage_index, self.step))
        # Pictures of the teacher serve as styles only where nothing is painted in them.
        choice = len(cache.styles) if stage.draws else cache.style_count
        styles = random.choice(choice, min(stage.batch // stage.photos_per_style, choice), replace=False)
        margin = self.recipe.data.margin
        top, left = random.integers(margin, CONTENT_SIZE - margin - stage.crop + 1, size=2)
        window = (slice(top, top + stage.crop), slice(left, left + stage.crop))
        flip = bool(random.random() < 0.5)
        if not stage.draws:
            nothing = torch.empty(0, device=self.device)
            return Batch(nothing, nothing, nothing, styles, flip)
        repeat = stage.photos_per_style
        pairs = np.concatenate(
            [random.choice(self.pairs_of_style[s], repeat, replace=repeat > len(self.pairs_of_style[s])) for s in styles]
        )
        twins = bool(stage.losses.consistency)
        if twins:
            pairs = np.repeat(pairs[::2], 2)
        alpha = np.where(random.random(len(pairs)) < stage.partial_alpha, random.choice(PARTIAL_ALPHAS, len(pairs)), 1.0)
        alphas = np.tile(ALPHAS, (len(pairs), 1)) if stage.sweep else alpha[:, None]
        photos, targets = (
            [images[index][window] for index in rows]
            for images, rows in ((cache.contents, cache.content_of[pairs]), (cache.targets, pairs))
        )
        if twins:
            alphas[1::2] = alphas[::2]
            photos = [damage(pixels, random) if index % 2 else pixels for index, pixels in enumerate(photos)]
        elif stage.damage:
            photos = [damage(pixels, random) if random.random() < stage.damage else pixels for pixels in photos]
        photo, target = (to_tensor(np.stack(images)).to(self.device) for images in (photos, targets))
        if flip:
            photo, target = photo.flip(3), target.flip(3)
        photo = photo.contiguous(memory_format=self.layout)
        return Batch(photo, target, torch.from_numpy(alphas).float().to(self.device), styles, flip)

    def _encode(self, batch: Batch) -> Tensor:
        fixed = None if self.stage.losses.code else self._fixed_codes(batch.styles)
        if fixed is not None:
            return fixed
        images = self.cache.style_images(batch.styles).to(self.device)
        return self.network.style_encoder(images.flip(3) if batch.flip else images).float()

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        stage, weights = self.stage, self.stage.losses
        code = self._encode(batch)
        losses: dict[str, Tensor] = {}
        if weights.code:
            assert self.target_codes is not None
            losses["code"] = functional.mse_loss(code, self.target_codes[batch.styles])
        if not stage.draws:
            return losses
        if stage.codes == "target":
            assert self.target_codes is not None
            code = self.target_codes[batch.styles]
        return losses | self._picture_losses(batch, code.repeat_interleave(stage.photos_per_style, dim=0))

    def _picture_losses(self, batch: Batch, codes: Tensor) -> dict[str, Tensor]:
        """Losses of the painted pictures; ``codes`` is (N, style_dim)."""
        repeat, alpha = batch.alpha.shape[1], batch.alpha.reshape(-1, 1)
        content = ContentFeatures(
            *(feature.repeat_interleave(repeat, dim=0) for feature in self.network.stylizer.content_encoder(batch.photo))
        )
        output = self.network.stylizer.decoder.paint(content, codes.repeat_interleave(repeat, dim=0), alpha).float()
        return self.picture_losses(self.stage, batch, codes, output)

    def train_step(self) -> dict[str, float]:
        """One optimiser step; the losses, unweighted, and the norm of the gradient. A step where they are not finite is skipped."""
        assert self.optimizer is not None
        stage, progress = self.stage, (self.step + 1) / self.stage_steps
        self.network.train()
        for path in stage.freeze:
            self.network.get_submodule(path).eval()
        if progress > stage.frozen_norm:
            for module in self.network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        before = [buffer.clone() for buffer in self.network.buffers()]  # the forward pass alone moves batch norm's statistics
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            losses = self._losses(self._batch())
        weights = stage.losses.model_dump()
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, stage.clip or math.inf)
        for group in self.optimizer.param_groups:
            group["lr"] = stage.learning_rate * rate_at(progress, stage)
        self.step += 1
        told = {name: loss.item() for name, loss in losses.items()} | {"norm": norm.item()}
        if not self.guard.allows(self.step, total.item(), told["norm"]):
            for buffer, value in zip(self.network.buffers(), before, strict=True):
                buffer.copy_(value)
            return told
        self.optimizer.step()
        if "adversarial" in losses and self.critic is not None:
            told["critic"] = self.critic.learn()
        decay = min(self.recipe.run.ema, (1 + self.step) / (10 + self.step))
        for name, value in self.network.state_dict().items():
            if value.dtype.is_floating_point:
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)
        return told

    def run(self, after_step: Callable[[dict[str, float]], None], after_save: Callable[[], None]) -> None:
        """Trains to the end of the last stage.

        Args:
            after_step: gets the losses of every step.
            after_save: called when a checkpoint is on disk.
        """
        while not self.finished:
            if self.step >= self.stage_steps:
                self.stage_index += 1
                self._enter_stage()
            after_step(self.train_step())
            if self.step % self.recipe.run.checkpoint_every == 0 or self.step >= self.stage_steps:
                self.save()
                after_save()
