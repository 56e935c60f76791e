"""Search for the most similar model within a byte budget: proposals of Optuna in the terms of sensitivity, judged on emitted artifacts."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from ..system.errors import CaptureError, PruneError
from .candidate import Budget, Candidate
from .proposal import Proposal, Space
from .trial import Measured

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

LEAST_TOLERANCE, MOST_TOLERANCE = 1e-5, 0.3
# Tolerances of all parts alike: where the budget lies among them is found by bisection, before the parts go their own ways.
UNIFORM = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2)
MOST_FLOAT = 4
# Candidates before Optuna's own model of them is asked.
STARTUP = 3
# A small model has few shapes: what Optuna proposes again is not measured again, and after so many times as often the search ends.
MOST_ASKED = 4
CANDIDATE, PROBLEM = "candidate", "problem"
KEEP_FLOAT = "modules not in int8"
ONE = TypeAdapter(Candidate)
Measure = Callable[[Proposal], Measured]


class Search:
    """A study on disk: whatever kills it, the same call goes on after the last candidate that was measured.

    Args:
        space: what there is to choose from.
        budget: what to keep; the study is of this budget alone.
        whole: the unpruned artifact, candidate 0.
        whole_parameters: of the whole model.
        journal: the study's file.
    """

    def __init__(self, space: Space, budget: Budget, whole: Measured, whole_parameters: int, journal: Path) -> None:
        self.space, self.budget = space, budget
        self.whole = Candidate(0, {}, {}, (), **asdict(whole))
        self.whole_parameters = whole_parameters
        self.study = self._open(journal)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """All that were measured, the whole model first."""
        told = (ONE.validate_json(trial.user_attrs[CANDIDATE]) for trial in self._finished() if CANDIDATE in trial.user_attrs)
        return tuple({candidate.number: candidate for candidate in (self.whole, *told)}.values())

    @property
    def done(self) -> int:
        """Different proposals that were tried, also those that could not be built."""
        return len(self.candidates) - 1 + sum(PROBLEM in trial.user_attrs for trial in self._finished())

    def run(self, trials: int, measure: Measure, after: Callable[[Candidate | None, str], None]) -> None:
        """Tries proposals until there are ``trials`` of them in the study.

        Args:
            after: called with every new candidate, or None and why it could not be built.
        """
        from optuna.trial import TrialState

        self._retry_interrupted()
        while self.done < trials and len(self.study.trials) < MOST_ASKED * trials:
            tolerance = self.next_uniform()
            mixtures = self.mixtures() if tolerance is None else [dict.fromkeys(self.space.parts, tolerance)]
            for tolerances in mixtures:
                named = {_name(part): value for part, value in tolerances.items()}
                self.study.enqueue_trial({**named, **self._no_float()}, skip_if_exists=True)
            trial = self.study.ask()
            proposal = self._propose(trial)
            number = trial.number + 1
            known = next((c for c in self.candidates if Proposal.of(c) == proposal), None)
            if known is not None:
                self._tell(trial, known)
                continue
            try:
                found = measure(proposal)
            except (PruneError, CaptureError) as error:
                trial.set_user_attr(PROBLEM, str(error))
                self.study.tell(trial, state=TrialState.FAIL)
                after(None, f"candidate {number}: {error}")
                continue
            candidate = Candidate(number, proposal.channels, proposal.heads, proposal.keep_float, **asdict(found))
            self._tell(trial, candidate)
            after(candidate, "")

    def _tell(self, trial: "Trial", candidate: Candidate) -> None:
        trial.set_user_attr(CANDIDATE, ONE.dump_json(candidate).decode())
        for limit, excess in self.budget.excess(candidate).items():
            trial.set_constraint(limit, excess)
        self.study.tell(trial, [candidate.size_bytes, candidate.ssim_mean, candidate.p50_ms])

    def next_uniform(self) -> float | None:
        """The tolerance for all parts that tells most about where the budget lies; None when nothing is left to tell.

        The first is the one whose estimated size is nearest to the budget. The estimate says too little is left, since layers share
        weights; whether a candidate fits is then seen on what was emitted.
        """
        tried = self._uniform_sizes()
        low, high = self._enclosing()
        left = [tolerance for tolerance in self._ladder() if low < tolerance < high and tolerance not in tried]
        if not left:
            return None
        return left[len(left) // 2] if tried else min(left, key=self._off)

    def mixtures(self) -> list[dict[str, float]]:
        """Between the uniform candidates that enclose the budget: each part in turn as in the larger one, the others as in the smaller."""
        low, high = self._enclosing()
        if not low or high == 1:
            return []
        return [{part: low if part == spared else high for part in self.space.parts} for spared in self.space.parts]

    def _enclosing(self) -> tuple[float, float]:
        """The largest uniform tolerance that was too large for the budget, and the smallest that fits; 0 and 1 where there is none."""
        sizes = {tolerance: size for tolerance, size in self._uniform_sizes().items() if size is not None}
        too_large = [tolerance for tolerance, size in sizes.items() if size > self.budget.max_bytes]
        return max(too_large, default=0.0), min((tolerance for tolerance in sizes if tolerance not in too_large), default=1.0)

    def _uniform_sizes(self) -> dict[float, int | None]:
        """Bytes by tolerance of what was tried with one for all parts; None for what could not be built."""
        found: dict[float, int | None] = {}
        for trial in self._finished():
            tolerances = {trial.params[_name(part)] for part in self.space.parts}
            if len(tolerances) == 1 and not trial.params.get(KEEP_FLOAT):
                known = trial.user_attrs.get(CANDIDATE)
                found[tolerances.pop()] = ONE.validate_json(known).size_bytes if known else None
        return found

    def _ladder(self) -> list[float]:
        """Of the uniform tolerances those whose proposals differ."""
        different: dict[str, float] = {}
        for tolerance in UNIFORM:
            different.setdefault(str(self.space.proposal(dict.fromkeys(self.space.parts, tolerance))), tolerance)
        return list(different.values())

    def _off(self, tolerance: float) -> float:
        removed = self.space.parameters_removed(self.space.proposal(dict.fromkeys(self.space.parts, tolerance)))
        return abs(max(0.0, 1 - removed / self.whole_parameters) * self.whole.size_bytes - self.budget.max_bytes)

    def _propose(self, trial: "Trial") -> Proposal:
        tolerances = {part: trial.suggest_float(_name(part), LEAST_TOLERANCE, MOST_TOLERANCE, log=True) for part in self.space.parts}
        most = min(MOST_FLOAT, len(self.space.int8))
        return self.space.proposal(tolerances, trial.suggest_int(KEEP_FLOAT, 0, most) if most else 0)

    def _no_float(self) -> dict[str, int]:
        return {KEEP_FLOAT: 0} if self.space.int8 else {}

    def _finished(self) -> Sequence["FrozenTrial"]:
        return [trial for trial in self.study.trials if trial.user_attrs.keys() & {CANDIDATE, PROBLEM} and trial.state.is_finished()]

    def _retry_interrupted(self) -> None:
        """A proposal whose process was killed is tried again first."""
        from optuna.trial import TrialState

        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
            self.study.tell(trial.number, state=TrialState.FAIL)
            self.study.enqueue_trial(trial.params)

    def _open(self, journal: Path) -> "Study":
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        journal.parent.mkdir(parents=True, exist_ok=True)
        return optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(journal))),
            study_name="search",
            sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=STARTUP),
            directions=["minimize", "maximize", "minimize"],
            load_if_exists=True,
        )


def _name(part: str) -> str:
    return f"tolerance of {part}"
