"""The figures as rows: what was measured, the limit, the aim, and whether the limit is kept."""

from dataclasses import dataclass

from .goals import GOALS, Goal
from .pairs import Evaluation

TITLES = {
    "teacher_l1": "L1 to the teacher's output",
    "photo_l1": "  the plain photo's",
    "style_share": "style distance, share of the plain photo's",
    "teacher_style_share": "  the teacher's",
    "diversity": "diversity over the teacher's",
    "swept": "pairs at every alpha",
    "identity_ssim": "alpha 0: SSIM of output and photo",
    "monotonic_share": "alpha: pairs whose style distance never rises",
    "luma_energy": "energy of luma over the teacher's, {} pixels",
    "chroma_energy": "energy of chroma over the teacher's, {} pixels",
    "grid_peak": "JPEG grid of a saved sky, peak over median",
    "teacher_grid_peak": "  the teacher's",
    "frame": "frame: border to 8 pixels inside, over the photo's",
    "teacher_frame": "  the teacher's",
    "flicker": "flicker of a pan, over the frames' own",
}
LIKENESS = {"likeness_mean": "SSIM to the other checkpoint at 512, mean", "likeness_worst": "  worst"}


@dataclass(frozen=True)
class Row:
    """A line of the table; ``goal`` is None for what is only told."""

    title: str
    value: float | int
    goal: Goal | None

    @property
    def met(self) -> bool:
        """Whether the limit is kept; where there is none, it is."""
        return self.goal is None or self.goal.met(self.value)

    @property
    def shown(self) -> str:
        """The value as it is printed."""
        return f"{self.value:.4f}" if isinstance(self.value, float) else str(self.value)


def rows_of(result: Evaluation, likeness: tuple[float, float] | None = None) -> tuple[Row, ...]:
    """The rows in the order of the table; a row for each octave."""
    rows: list[Row] = []
    for name, title in TITLES.items():
        value, goal = getattr(result, name), GOALS.get(name)
        if isinstance(value, dict):
            rows += [Row(title.format(pixels), ratio, goal) for pixels, ratio in value.items()]
        else:
            rows.append(Row(title, value, goal))
    if likeness is not None:
        rows += [Row(title, value, GOALS[name]) for (name, title), value in zip(LIKENESS.items(), likeness, strict=True)]
    return tuple(rows)


def as_text(result: Evaluation, rows: tuple[Row, ...]) -> str:
    """The figures, a line each, beside what a finished checkpoint should reach."""
    lines = [f"{f'{result.photos} photos x {result.artworks} artworks':<52}{'measured':>9}{'limit':>13}{'aim':>13}"]
    return "\n".join([*lines, *(_line(row) for row in rows)])


def _line(row: Row) -> str:
    wanted = f"{row.goal.said_limit:>13}{row.goal.said_aim:>13}" if row.goal else ""
    return f"{row.title:<52}{row.shown:>9}{wanted}{'' if row.met else '  missed'}"
