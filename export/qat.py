"""Quantisation-aware training: weights learn to live on the int8 grid, each graph distilled from its float self.

Short by design: it starts from a trained float model, batch normalisation is folded, activation ranges are calibrated
first and stay fixed, and only weights move. The loss is the L1 distance to the float graph's own outputs.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..calibration.samples import Sample
from ..model.graph import Arrays, Graph, Model, TensorKind
from .disk import atomic_write
from .progress import Report
from .quantize import PreparedGraph, graph_inputs, load_weights, observe, prepare, refresh_weight_ranges, set_activation_ranges, set_mode
from .recipe import QuantizeSettings

SAVE_EVERY = 20
CLIP = 1.0


def tune(
    model: Model, samples: Sequence[Sample], settings: QuantizeSettings, state_file: Path, report: Report
) -> dict[str, dict[str, Tensor]]:
    """Fine-tunes every graph under fake quantisation.

    Args:
        samples: at the crop size of the settings; scalar inputs are drawn anew over their range.
        state_file: where the state is kept every few steps; a killed run continues from it and ends with the same weights.

    Returns:
        Weights by graph and parameter name, batch normalisation folded.
    """
    size = (settings.crop, settings.crop)
    torch.manual_seed(settings.seed)
    fed = list(graph_inputs(model, _with_scalars(model, samples, settings.seed)))
    state: dict[str, dict] = torch.load(state_file, weights_only=True) if state_file.exists() else {}
    trainable = [graph for graph in model.graphs if any(parameter.requires_grad for parameter in graph.module.parameters())]
    total = settings.steps * len(trainable)
    tuned: dict[str, dict[str, Tensor]] = {}
    for position, graph in enumerate(trainable):
        if graph.name in state and state[graph.name]["step"] == settings.steps:
            tuned[graph.name] = state[graph.name]["weights"]
            continue
        prepared = prepare(graph, size, settings, settings.batch)
        tuner = _Tuner(graph, prepared, [inputs[graph.name] for inputs in fed], settings)
        tuner.restore(state.get(graph.name))
        while tuner.step < settings.steps:
            loss = tuner.train_step()
            report(position * settings.steps + tuner.step, total, f"{graph.name} L1 {loss:.4f}")
            if tuner.step % SAVE_EVERY == 0 or tuner.step == settings.steps:
                state[graph.name] = tuner.state()
                _save(state, state_file)
        tuned[graph.name] = state[graph.name]["weights"]
    return tuned


def _with_scalars(model: Model, samples: Sequence[Sample], seed: int) -> list[Sample]:
    generator = np.random.default_rng(seed)
    scalars = [spec for spec in model.sample_inputs if spec.kind is TensorKind.SCALAR]
    drawn = []
    for sample in samples:
        values = {spec.name: np.full((1, 1), generator.uniform(spec.minimum, spec.maximum), np.float32) for spec in scalars}
        # Every other sample keeps the maximum, the value that an app uses most.
        drawn.append(Sample(sample.name, {**sample.inputs, **values}) if len(drawn) % 2 else sample)
    return drawn


def _save(state: Mapping[str, object], path: Path) -> None:
    # Through memory: on a full disk torch.save raises an error that does not say so.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    atomic_write(path, buffer.getvalue())


class _Tuner:
    """The fine-tuning of one graph."""

    def __init__(self, graph: Graph, prepared: PreparedGraph, inputs: Sequence[Arrays], settings: QuantizeSettings) -> None:
        self.graph = graph
        self.prepared = prepared
        self.settings = settings
        self.inputs = inputs
        self.step = 0
        self.parameters = list(prepared.module.parameters())
        self.optimizer = torch.optim.Adam(self.parameters, lr=settings.learning_rate)
        self._fix_activation_ranges()

    def _fix_activation_ranges(self) -> None:
        name, output = self.graph.name, self.graph.outputs[0].name
        alone = Model(name, (self.graph,), lambda runs, sample: runs[name](sample)[output], (), name)
        batches = [Sample(str(i), self._batch_arrays(i)) for i in range(max(1, len(self.inputs) // self.settings.batch))]
        ranges = observe(alone, {self.graph.name: self.prepared}, batches, len(batches), self.settings, lambda *_: None)
        set_activation_ranges(self.prepared, {entry.tensor: entry for entry in ranges})
        refresh_weight_ranges(self.prepared)
        set_mode(self.prepared, fake_quantize=True)

    def _batch_arrays(self, step: int) -> dict[str, np.ndarray]:
        """The samples of a step, drawn from a generator that depends on seed and step alone, so that a resumed run sees the same."""
        order = np.random.default_rng((self.settings.seed, step)).permutation(len(self.inputs))
        chosen = [self.inputs[order[i % len(order)]] for i in range(self.settings.batch)]
        return {spec.name: np.concatenate([sample[spec.name] for sample in chosen]) for spec in self.graph.inputs}

    def train_step(self) -> float:
        """One optimiser step; the loss."""
        batch = self._batch_arrays(self.step)
        inputs = [torch.from_numpy(batch[spec.name]) for spec in self.graph.inputs]
        with torch.no_grad():
            wanted = self.graph.module(*inputs)
        refresh_weight_ranges(self.prepared)
        got = self.prepared.module(*inputs)
        pairs = zip(*((value,) if isinstance(value, Tensor) else value for value in (got, wanted)), strict=True)
        loss = torch.stack([functional.l1_loss(left, right) for left, right in pairs]).sum()
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * (1 - self.step / self.settings.steps)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.optimizer.step()
        self.step += 1
        return loss.item()

    def state(self) -> dict:
        """What ``restore`` needs, and the weights."""
        weights = {name: parameter.detach().clone() for name, parameter in self.prepared.module.named_parameters()}
        return {"step": self.step, "weights": weights, "optimizer": self.optimizer.state_dict()}

    def restore(self, state: dict | None) -> None:
        """Continues from a state; None starts from the float weights."""
        if state is not None:
            load_weights(self.prepared, state["weights"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]
