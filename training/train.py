"""The training loop: teacher pairs in, checkpoint out; resumable."""

import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..model.network import InstantStyle
from .data import CONTENT_SIZE, PairCache, to_tensor
from .losses import relative_distance
from .perceptual import PerceptualNetwork, style_statistics


@dataclass(frozen=True)
class TrainingOptions:
    """One training run. Sizes in pixels; weights are factors on the losses."""

    pairs: Path
    folder: Path
    steps: int
    crop: int = 192
    styles_per_step: int = 2
    photos_per_style: int = 3
    learning_rate: float = 8e-4
    warmup_steps: int = 100
    code_steps: int = 150
    clip: float = 1.0
    ema: float = 0.995
    l1_weight: float = 10.0
    perceptual_weight: float = 1.0
    style_weight: float = 2.0
    code_weight: float = 0.5
    frozen_norm_share: float = 0.7
    checkpoint_every: int = 100
    seed: int = 0


def learning_rate_at(step: int, options: TrainingOptions) -> float:
    """Linear warm-up, then half a cosine to 2% of the peak."""
    if step < options.warmup_steps:
        return options.learning_rate * (step + 1) / options.warmup_steps
    progress = (step - options.warmup_steps) / max(1, options.steps - options.warmup_steps)
    return options.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


class StyleTargets(nn.Module):
    """Linear read-outs of the code: what the style encoder must know about a style. Used in training only."""

    def __init__(self, code: int, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.readouts = nn.ModuleList(nn.Linear(code, size) for size in sizes)

    def forward(self, code: Tensor) -> list[Tensor]:
        return [readout(code) for readout in self.readouts]


def standardise(values: Tensor) -> Tensor:
    """(S, D) -> the same with zero mean and unit deviation per column."""
    deviation, mean = torch.std_mean(values, dim=0)
    return (values - mean) / (deviation + 1e-3)


class Trainer:
    """Holds the state of a run; ``run`` continues from the last checkpoint in the run's folder."""

    def __init__(self, options: TrainingOptions) -> None:
        self.options = options
        torch.manual_seed(options.seed)
        self.cache = PairCache.load(options.pairs)
        self.perceptual = PerceptualNetwork()
        self.style_features = self._statistics_of_styles()
        self.code_targets = [standardise(torch.from_numpy(np.array(self.cache.vectors)))] + [
            standardise(values) for values in self.style_features
        ]
        self.network = InstantStyle()
        self.readout = StyleTargets(self.network.config.style_dim, tuple(t.shape[1] for t in self.code_targets))
        self.average = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.parameters = [*self.network.parameters(), *self.readout.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, lr=options.learning_rate, betas=(0.9, 0.99))
        self.step = 0
        self.pairs_of_style = [np.flatnonzero(self.cache.style_of == i) for i in range(len(self.cache.styles))]
        options.folder.mkdir(parents=True, exist_ok=True)
        self.state_file = options.folder / "state.pt"
        if self.state_file.exists():
            state = torch.load(self.state_file, weights_only=True, mmap=True)
            self.network.load_state_dict(state["network"])
            self.readout.load_state_dict(state["readout"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average = {name: value.clone() for name, value in state["average"].items()}
            self.step = state["step"]

    @torch.no_grad()
    def _statistics_of_styles(self) -> list[Tensor]:
        cached = self.options.pairs / "style_statistics.pt"
        if cached.exists():
            return torch.load(cached, weights_only=True)
        rows = [style_statistics(self.perceptual(to_tensor(self.cache.styles[i : i + 1, ::2, ::2]))) for i in range(len(self.cache.styles))]
        statistics = [torch.cat(layer) for layer in zip(*rows, strict=True)]
        torch.save(statistics, cached)
        return statistics

    def save(self) -> None:
        """Writes the state under a temporary name and renames it: a kill never leaves half a checkpoint."""
        temporary = self.state_file.with_suffix(".tmp")
        torch.save(
            {
                "network": self.network.state_dict(),
                "readout": self.readout.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average,
                "step": self.step,
            },
            temporary,
        )
        os.replace(temporary, self.state_file)

    def _code_loss(self, code: Tensor, styles: np.ndarray) -> Tensor:
        predictions = self.readout(code)
        losses = [functional.mse_loss(p.float(), t[styles]) for p, t in zip(predictions, self.code_targets, strict=True)]
        return torch.stack(losses).mean()

    def _code_step(self, generator: np.random.Generator) -> dict[str, Tensor]:
        styles = generator.permutation(len(self.cache.styles))[:6]
        code = self.network.style_encoder(to_tensor(self.cache.styles[np.sort(styles)]))
        return {"code": self._code_loss(code, np.sort(styles))}

    def _pair_step(self, generator: np.random.Generator) -> dict[str, Tensor]:
        options, cache = self.options, self.cache
        styles = np.sort(generator.permutation(len(cache.styles))[: options.styles_per_step])
        pairs = np.concatenate([generator.choice(self.pairs_of_style[s], options.photos_per_style, replace=False) for s in styles])
        top, left = generator.integers(0, CONTENT_SIZE - options.crop + 1, size=2)
        window = (slice(top, top + options.crop), slice(left, left + options.crop))
        photo = to_tensor(np.stack([cache.contents[cache.content_of[p]][window] for p in pairs]))
        target = to_tensor(np.stack([cache.targets[p][window] for p in pairs]))
        if generator.random() < 0.5:
            photo, target = photo.flip(3), target.flip(3)
        # Most samples at full strength; the rest teach what alpha means, its ends included.
        alpha = np.where(generator.random(len(pairs)) < 0.7, 1.0, generator.choice([0.0, 0.0, 0.25, 0.5, 0.75], len(pairs)))
        alpha = torch.from_numpy(alpha).float()[:, None]
        target = photo + alpha[:, :, None, None] * (target - photo)
        code = self.network.style_encoder(to_tensor(cache.styles[styles]))
        output = self.network.stylizer(photo, code.repeat_interleave(options.photos_per_style, dim=0), alpha)
        features = self.perceptual(output.float())
        with torch.no_grad():
            target_features = self.perceptual(target)
        full = (alpha[:, 0] == 1).nonzero()[:, 0]
        wanted = [values[np.repeat(styles, options.photos_per_style)][full] for values in self.style_features]
        style = relative_distance([s[full] for s in style_statistics(features)], wanted) if len(full) else output.new_zeros(())
        return {
            "l1": functional.l1_loss(output.float(), target) / 2,  # images in [0, 1]
            "perceptual": relative_distance(features, target_features),
            "style": style,
            "code": self._code_loss(code, styles),
        }

    def train_step(self) -> dict[str, float]:
        """One optimiser step; the losses, unweighted."""
        options = self.options
        generator = np.random.default_rng((options.seed, self.step))
        self.network.train()
        if self.step > options.frozen_norm_share * options.steps:
            for module in self.network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        with torch.autocast("cpu", torch.bfloat16):
            losses = self._code_step(generator) if self.step < options.code_steps else self._pair_step(generator)
        weights = {
            "l1": options.l1_weight,
            "perceptual": options.perceptual_weight,
            "style": options.style_weight,
            "code": options.code_weight,
        }
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(self.step, options)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, options.clip)
        if torch.isfinite(norm):
            self.optimizer.step()
        self.step += 1
        decay = min(options.ema, (1 + self.step) / (10 + self.step))
        for name, value in self.network.state_dict().items():
            if value.dtype.is_floating_point:
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)
        return {name: loss.item() for name, loss in losses.items()} | {"norm": norm.item()}

    def run(self) -> None:
        """Trains to the last step, saving every ``checkpoint_every`` steps."""
        log = (self.options.folder / "metrics.jsonl").open("a")
        start, first = time.monotonic(), self.step
        sums: dict[str, float] = {}
        while self.step < self.options.steps:
            for name, value in self.train_step().items():
                sums[name] = sums.get(name, 0.0) + value
            if self.step % 20 == 0:
                rate = (self.step - first) / (time.monotonic() - start)
                row = {name: round(value / 20, 4) for name, value in sums.items()}
                sums.clear()
                print(json.dumps({"step": self.step, **row, "steps_per_s": round(rate, 3)}), file=log, flush=True)
                eta = (self.options.steps - self.step) / rate / 60
                print(f"step {self.step}/{self.options.steps} {row} {rate:.2f} steps/s ETA {eta:.0f} min", flush=True)
            if self.step % self.options.checkpoint_every == 0 or self.step == self.options.steps:
                self.save()
