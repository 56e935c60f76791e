"""What a build says while it runs, as values, and as lines of text."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StageStart:
    """A stage begins; ``subject`` is what it works on, e.g. ``android-int8-512x512``, or empty."""

    stage: str
    subject: str


@dataclass(frozen=True)
class Step:
    """A stage got from ``done - 1`` to ``done`` of ``total``, which is 0 where the end is not known."""

    stage: str
    subject: str
    done: int
    total: int
    note: str

    @property
    def count(self) -> str:
        """``3/8``, or ``3``."""
        return f"{self.done}/{self.total}" if self.total else str(self.done)


@dataclass(frozen=True)
class StageEnd:
    """A stage is done. ``outcome`` is ``done``, ``reused`` (found in the cache), ``off`` or ``skipped``."""

    stage: str
    subject: str
    outcome: str
    seconds: float
    note: str = ""


@dataclass(frozen=True)
class ArtifactReady:
    """An artifact was emitted or reused."""

    artifact: str
    shipped_bytes: int


@dataclass(frozen=True)
class VerdictReady:
    """An artifact was judged."""

    artifact: str
    status: str
    required: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Notice:
    """Something that the user should know."""

    text: str


@dataclass(frozen=True)
class BuildEnd:
    """The build is over."""

    exit_code: int
    seconds: float
    summary: str


Event = StageStart | Step | StageEnd | ArtifactReady | VerdictReady | Notice | BuildEnd


def sentence(event: Event) -> str:
    """An event as one line of text; empty for the start of a stage, whose end says it all."""
    text = ""
    match event:
        case Step(stage, subject, note=note):
            text = f"  {title(stage, subject)} {event.count} {note}".rstrip()
        case StageEnd(stage, subject, outcome, seconds, note):
            took = f"{seconds:.1f} s" if outcome == "done" else outcome
            text = f"{title(stage, subject):<40} {took}" + (f"  {note}" if note else "")
        case ArtifactReady(artifact, shipped_bytes):
            text = f"  {artifact}: {shipped_bytes:,} bytes"
        case VerdictReady(artifact, status, required, reasons):
            head = f"{artifact}: {status.replace('_', ' ')}" + (" (required)" if required else "")
            text = "\n".join([head, *(f"  {reason}" for reason in reasons)])
        case Notice():
            text = event.text
        case BuildEnd(_, seconds, summary):
            text = f"{summary} ({seconds:.1f} s)"
        case StageStart():
            pass
    return text


def title(stage: str, subject: str) -> str:
    """Stage and subject as one name."""
    return f"{stage} {subject}".rstrip()
