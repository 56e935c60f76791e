"""Fine-tuning one graph towards the outputs of its float, unpruned self: what pruning and quantisation have in common."""

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...model.finite import FiniteSteps, require_finite
from ...model.graph import Arrays, Graph, Model, Sample, TensorKind, TensorSpec
from ...model.runs import device_of
from ...system.disk import atomic_write

SAVE_EVERY = 20
CLIP = 1.0


class DistillSettings(Protocol):
    """Pace of a fine-tuning."""

    @property
    def batch(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def seed(self) -> int: ...


class Distiller:
    """The fine-tuning of one graph: Adam on the L1 distance of the outputs, the rate falling to 0.

    Args:
        teacher: the graph whose outputs are wanted.
        student: its weights move; it takes the same inputs.
        inputs: of the graph, batch 1.
        steps: how many there will be.
    """

    rate_key = "learning_rate"  # of the recipe, for messages

    def __init__(self, teacher: Graph, student: nn.Module, inputs: Sequence[Arrays], settings: DistillSettings, steps: int) -> None:
        self.teacher, self.student, self.inputs, self.settings, self.steps = teacher, student, inputs, settings, steps
        self.step, self.device = 0, device_of(student)
        self.parameters = list(student.parameters())
        self.optimizer = torch.optim.Adam(self.parameters, lr=settings.learning_rate)
        self.guard = FiniteSteps(f"graph '{teacher.name}'", f"lower {self.rate_key} (now {settings.learning_rate:g})")

    def before_step(self) -> None:
        """What has to follow a change of the weights."""

    def arithmetic(self) -> AbstractContextManager[object]:
        """What teacher and student of the step at hand compute in."""
        return nullcontext()

    def teach(self, batch: Arrays, inputs: Sequence[Tensor]) -> Tensor | tuple[Tensor, ...]:
        """What the teacher makes of a batch, given as arrays and as tensors."""
        return self.teacher.module(*inputs)

    def loss(self, got: Tensor, wanted: Tensor, spec: TensorSpec) -> Tensor:
        """The distance of one output from the teacher's."""
        return functional.l1_loss(got, wanted)

    def batch_arrays(self, step: int) -> dict[str, np.ndarray]:
        """The samples of a step, drawn from a generator that depends on seed and step alone, so that a resumed run sees the same."""
        order = np.random.default_rng((self.settings.seed, step)).permutation(len(self.inputs))
        chosen = [self.inputs[order[i % len(order)]] for i in range(self.settings.batch)]
        return {spec.name: np.concatenate([sample[spec.name] for sample in chosen]) for spec in self.teacher.inputs}

    def train_step(self) -> float:
        """One optimiser step; the loss. A step whose loss or gradient is not finite is skipped.

        Raises:
            TrainingError: too many were, in a row.
        """
        batch = self.batch_arrays(self.step)
        inputs = [torch.from_numpy(batch[spec.name]).to(self.device) for spec in self.teacher.inputs]
        with self.arithmetic():
            with torch.no_grad():
                wanted = self.teach(batch, [value.clone() for value in inputs])  # it may change them in place
            self.before_step()
            got = self.student(*inputs)
        pairs = zip(*((value,) if isinstance(value, Tensor) else value for value in (got, wanted)), self.teacher.outputs, strict=True)
        loss = torch.stack([self.loss(left, right, spec) for left, right, spec in pairs]).sum()
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * (1 - self.step / self.steps)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.step += 1
        if self.guard.allows(self.step, loss.item(), norm.item()):
            self.optimizer.step()
        return loss.item()

    def learn(self, state: dict[str, dict], state_file: Path, report: Callable[[float], None]) -> None:
        """All steps that are left, from the state of this graph if there is one; it is kept every few steps.

        Args:
            state: by graph, as ``read_state`` read it; this graph's is put in.
            report: called with the loss after each step.
        """
        name = self.teacher.name
        self.restore(state.get(name))
        while self.step < self.steps:
            report(self.train_step())
            if self.step % SAVE_EVERY == 0 or self.step == self.steps:
                state[name] = self.state()
                save_state(state, state_file)

    def state(self) -> dict:
        """What ``restore`` needs, and the weights. TrainingError if one is NaN or infinite."""
        weights = {name: parameter.detach().to("cpu", copy=True) for name, parameter in self.student.named_parameters()}
        require_finite(weights, f"{self.guard.what}, step {self.step}", self.guard.remedy)
        return {"step": self.step, "weights": weights, "optimizer": self.optimizer.state_dict()}

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Copies weights into the student."""
        self.student.load_state_dict(dict(weights), strict=False)

    def restore(self, state: dict | None) -> None:
        """Continues from a state; None starts from the weights at hand."""
        if state is not None:
            self.load_weights(state["weights"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]


def read_state(path: Path) -> dict[str, dict]:
    """What ``save_state`` wrote, or nothing."""
    return torch.load(path, weights_only=True, map_location="cpu") if path.exists() else {}


def save_state(state: Mapping[str, object], path: Path) -> None:
    """Writes the state of several graphs, atomically."""
    # Through memory: on a full disk torch.save raises an error that does not say so.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    atomic_write(path, buffer.getvalue())


def with_scalars(model: Model, samples: Sequence[Sample], seed: int) -> list[Sample]:
    """The samples with scalar inputs drawn anew over their range; every other keeps the maximum, which an app uses most."""
    generator = np.random.default_rng(seed)
    scalars = [spec for spec in model.sample_inputs if spec.kind is TensorKind.SCALAR]
    drawn = []
    for sample in samples:
        values = {spec.name: np.full((1, 1), generator.uniform(spec.minimum, spec.maximum), np.float32) for spec in scalars}
        drawn.append(Sample(sample.name, {**sample.inputs, **values}) if len(drawn) % 2 else sample)
    return drawn
