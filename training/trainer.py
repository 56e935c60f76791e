"""The training loop: stages of a recipe over teacher pairs, resumable at every checkpoint."""

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import replace
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
from .batches import Batch, Batches, CachedBatches
from .codes import target_codes
from .critic import Critic
from .pairs import PairCache, Say
from .picture_losses import PictureLosses
from .recipe import TrainingRecipe, TrainingStage
from .rows import Rows
from .state import load_state, save_state
from .style_statistics import STATISTICS, statistics_of_artworks

FINAL_RATE = 0.02


def rate_at(progress: float, stage: TrainingStage) -> float:
    """The share of the peak learning rate at ``progress`` (0 to 1) of a stage: linear warm-up, then the schedule."""
    if progress < stage.warmup:
        return progress / stage.warmup
    if stage.schedule == "constant":
        return 1.0
    rest = (progress - stage.warmup) / max(1e-9, 1 - stage.warmup)
    return FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * min(1.0, rest)))


def steps_of(stage: TrainingStage, pairs: int) -> int:
    """Optimiser steps of a stage; of one that is measured in minutes, 0."""
    return stage.steps or (max(1, round(stage.epochs * pairs / stage.batch)) if stage.epochs else 0)


def device_of(recipe: TrainingRecipe) -> torch.device:
    """Where the recipe is trained on this machine."""
    wanted = recipe.run.device
    return torch.device(wanted if wanted != "auto" else "cuda" if torch.cuda.is_available() else "cpu")


class Trainer:
    """The state of a run: ``run`` goes on from the last checkpoint in the run's folder to the end of the recipe.

    Args:
        recipe: what to do.
        pairs: a cache of the teacher's, or batches that it paints as they are drawn.
        network: its weights are the start.
        say: called with what is prepared, how many are done and of how many.
    """

    def __init__(self, recipe: TrainingRecipe, pairs: PairCache | Batches, network: InstantStyle, say: Say) -> None:
        self.recipe, self.say = recipe, say
        self.folder = recipe.run.folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.device = device_of(recipe)
        torch.backends.cudnn.benchmark = True  # a stage's shapes stay the same
        self.cache = pairs if isinstance(pairs, PairCache) else None
        self.batches = CachedBatches(pairs, recipe.data, recipe.run.seed, self.device) if isinstance(pairs, PairCache) else pairs
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
        self.stage_index, self.step, self.seconds = 0, 0, 0.0
        self.steps_before: list[int] = []  # of the stages that are done
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
    def progress(self) -> float:
        """How much of the stage at hand is done, from 0 to 1."""
        if self.stage.minutes:
            return min(1.0, self.seconds / (60 * self.stage.minutes))
        return self.step / self._steps(self.stage)

    @property
    def finished(self) -> bool:
        """Whether the last stage is at its end."""
        return self.stage_index == len(self.recipe.stages) - 1 and self.progress >= 1

    @property
    def done_steps(self) -> int:
        """Steps of all stages up to now."""
        return sum(self.steps_before) + self.step

    @property
    def total_steps(self) -> int:
        """Steps of all stages; 0 where one is measured in minutes, since nobody knows."""
        steps = [self._steps(stage) for stage in self.recipe.stages]
        return sum(steps) if all(steps) else 0

    def _steps(self, stage: TrainingStage) -> int:
        return steps_of(stage, len(self.cache.style_of) if self.cache else 0)

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
        perceptual, cache = self.perceptual, self.cache
        if perceptual is None or cache is None or not any(stage.needs_statistics for stage in self.recipe.stages):
            return None

        @torch.no_grad()
        def row(index: int) -> np.ndarray:
            image = cache.style_images(np.array([index])).to(self.device)
            return statistics_of_artworks(perceptual, image)[0].cpu().numpy()

        return Rows(cache.folder / "statistics.npy", (cache.style_count, STATISTICS), np.float32, row)

    def _target_codes(self) -> Tensor | None:
        """Target codes of all style images, where a stage wants them."""
        if (
            self.statistics is None
            or self.cache is None
            or not any(stage.losses.code or stage.codes == "target" for stage in self.recipe.stages)
        ):
            return None
        self.statistics.make_all(lambda done, total: self.say("statistics", done, total))
        return target_codes(self.cache.vectors, self.statistics.array, self.network.config.style_dim).to(self.device)

    def _codes_of_styles(self, cache: PairCache) -> Rows:
        """Codes (S, style_dim) of the style images, for a stage that does not train the style encoder."""

        @torch.no_grad()
        def row(index: int) -> np.ndarray:
            image = cache.style_images(np.array([index])).to(self.device)
            return self.network.style_encoder(image)[0].float().cpu().numpy()

        # By what they are made of: a run that starts again may start from another encoder.
        encoder = b"".join(value.cpu().numpy().tobytes() for value in self.network.style_encoder.state_dict().values())
        made_of = hashlib.sha256(encoder + cache.folder.name.encode()).hexdigest()[:12]
        path = self.folder / f"codes-{self.stage_index}-{made_of}.npy"
        return Rows(path, (len(cache.styles), self.network.config.style_dim), np.float32, row)

    def _enter_stage(self) -> None:
        """Starts from the moving average of what was before, with a new optimiser."""
        self.network.load_state_dict(self.average)
        self.step, self.seconds = 0, 0.0
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
        if "style_encoder" not in self.stage.freeze or self.cache is None:
            return None
        if self.codes is None:
            self.codes = self._codes_of_styles(self.cache)
        return torch.from_numpy(np.stack([self.codes[index] for index in styles])).to(self.device)

    # State

    def _resume(self) -> None:
        state = load_state(self.folder, self.recipe)
        if state is None:
            return
        self.stage_index = state["stage"]
        # A run that began before stages were measured in minutes did not keep them.
        self.steps_before = state.get("steps_before", [self._steps(stage) for stage in self.recipe.stages[: self.stage_index]])
        self.average = {name: value.to(self.device) for name, value in state["average"].items()}
        self._enter_stage()
        assert self.optimizer is not None
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state.get("seconds", 0.0)
        # A run that began before a later stage asked for a critic has none to restore.
        if self.critic is not None and "critic" in state:
            self.critic.restore(state["critic"])

    def save(self) -> None:
        """Writes the state of the run, atomically. TrainingError if a weight is NaN or infinite."""
        for rows in (self.cache and self.cache.targets, self.codes, self.statistics):
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
            "steps_before": self.steps_before,
            "seconds": self.seconds,
        }
        if self.critic is not None:
            state["critic"] = self.critic.state()
        save_state(self.folder, self.recipe, state)

    # Steps

    def batch(self) -> Batch:
        """That of the step at hand."""
        batch = self.batches.batch(self.stage, self.stage_index, self.step)
        return replace(batch, photo=batch.photo.contiguous(memory_format=self.layout)) if self.stage.draws else batch

    def _encode(self, batch: Batch) -> Tensor:
        fixed = None if self.stage.losses.code else self._fixed_codes(batch.styles)
        if fixed is not None:
            return fixed
        return self.network.style_encoder(self._style_images(batch)).float()

    def _style_images(self, batch: Batch) -> Tensor:
        if batch.style_images is not None:
            return batch.style_images
        assert self.cache is not None
        images = self.cache.style_images(batch.styles).to(self.device)
        return images.flip(3) if batch.flip else images

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
        stage, progress = self.stage, self.progress + (0.0 if self.stage.minutes else 1 / self._steps(self.stage))
        self.network.train()
        for path in stage.freeze:
            self.network.get_submodule(path).eval()
        if progress > stage.frozen_norm:
            for module in self.network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        before = [buffer.clone() for buffer in self.network.buffers()]  # the forward pass alone moves batch norm's statistics
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            losses = self._losses(self.batch())
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
            if self.progress >= 1:
                self.steps_before.append(self.step)
                self.stage_index += 1
                self._enter_stage()
            started = time.monotonic()
            after_step(self.train_step())
            self.seconds += time.monotonic() - started
            if self.step % self.recipe.run.checkpoint_every == 0 or self.progress >= 1:
                self.save()
                after_save()
