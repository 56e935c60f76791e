"""Search for the most similar model within a byte budget: proposals of Optuna in the terms of sensitivity, judged on emitted artifacts."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from ..model.errors import CaptureError, PruneError
from .candidate import Budget, Candidate
from .proposal import Proposal, Space
from .trial import Measured

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

LEAST_TOLERANCE, MOST_TOLERANCE = 1e-5, 0.3
# Uniform tolerances that are looked through for the first proposals.
UNIFORM = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3)
FIRST = 3
MOST_FLOAT = 4
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
        if not self.study.trials:
            for tolerance in self.first_tolerances():
                self.study.enqueue_trial({**dict.fromkeys(map(_name, self.space.parts), tolerance), **self._no_float()})
        while self.done < trials and len(self.study.trials) < MOST_ASKED * trials:
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

    def first_tolerances(self) -> tuple[float, ...]:
        """The uniform tolerances whose estimated size is nearest to the budget, from the nearest on."""

        def off(tolerance: float) -> float:
            removed = self.space.parameters_removed(self.space.proposal(dict.fromkeys(self.space.parts, tolerance)))
            left = max(0.0, 1 - removed / self.whole_parameters)
            return abs(left * self.whole.size_bytes - self.budget.max_bytes)

        different: dict[str, float] = {}
        for tolerance in sorted(UNIFORM, key=off):
            different.setdefault(str(self.space.proposal(dict.fromkeys(self.space.parts, tolerance))), tolerance)
        return tuple(different.values())[:FIRST]

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
            sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=FIRST),
            directions=["minimize", "maximize", "minimize"],
            load_if_exists=True,
        )


def _name(part: str) -> str:
    return f"tolerance of {part}"
