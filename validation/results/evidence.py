"""What measurements were made of and with, by content: so that they cannot be taken for those of other files."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from ...calibration.samples import Pairing, sample_names
from ...targets.base import ArtifactFile

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class SampleImage:
    """An image of the validation set.

    Attributes:
        name: as in the names of samples.
        sha256: of its file.
    """

    name: str
    sha256: Sha256


@dataclass(frozen=True)
class SampleSet:
    """The images that everything is judged on, and how they make samples.

    Attributes:
        images: those of each image input of the model, in the order of the inputs.
        pairing: as in the recipe.
    """

    images: tuple[tuple[SampleImage, ...], ...]
    pairing: Pairing

    def names(self) -> tuple[str, ...]:
        """Of all samples, in their order."""
        return sample_names([[image.name for image in images] for images in self.images], self.pairing)

    def different(self) -> int:
        """How many samples there are that differ in the content of an image."""
        contents = [[image.sha256 for image in images] for images in self.images]
        return len(set(sample_names(contents, self.pairing)))

    def difference(self, other: "SampleSet") -> str:
        """In what ``other`` is not this set, as a sentence; empty if it is."""
        if other.pairing != self.pairing:
            return f"they are paired by '{other.pairing}', not by '{self.pairing}'"
        own, others = ([image for images in each.images for image in images] for each in (self, other))
        for wanted, found in zip(own, others, strict=False):
            if wanted.name != found.name:
                return f"'{found.name}' is in the place of '{wanted.name}'"
            if wanted.sha256 != found.sha256:
                return f"image '{wanted.name}' has SHA-256 {found.sha256[:12]}…, not {wanted.sha256[:12]}…"
        if [*map(len, self.images)] != [*map(len, other.images)]:
            return f"there are {len(others)} images, not {len(own)}"
        return ""


@dataclass(frozen=True)
class GraphCalls:
    """How often the reference called a graph.

    Attributes:
        graph: name of the graph.
        ordinary: over all samples.
        hard: over all hard samples.
    """

    graph: str
    ordinary: int
    hard: int


@dataclass(frozen=True)
class Evidence:
    """What an artifact was measured with.

    Attributes:
        files: of the artifact, with its manifest; paths relative to its folder.
        baseline: of the float artifact that it was timed against.
        reference_sha256: of the weights of the float PyTorch model.
        samples: what it was judged on.
        hard: names of the hard samples.
        calls: of each graph.
    """

    files: tuple[ArtifactFile, ...]
    baseline: tuple[ArtifactFile, ...]
    reference_sha256: Sha256
    samples: SampleSet
    hard: tuple[str, ...]
    calls: tuple[GraphCalls, ...]

    def difference(self, other: "Evidence") -> str:
        """In what ``other`` is not this, as a sentence; empty if it is."""
        for what, wanted, found in (("", self.files, other.files), ("the baseline's ", self.baseline, other.baseline)):
            problem = _file_difference(wanted, found)
            if problem:
                return f"{what}{problem}"
        if self.reference_sha256 != other.reference_sha256:
            return f"the reference's weights have SHA-256 {other.reference_sha256[:12]}…, not {self.reference_sha256[:12]}…"
        return self.samples.difference(other.samples)


def _file_difference(wanted: tuple[ArtifactFile, ...], found: tuple[ArtifactFile, ...]) -> str:
    own, others = ({file.path: file for file in files} for files in (wanted, found))
    for path in sorted(own.keys() | others.keys()):
        if path not in others:
            return f"{path} was not there"
        if path not in own:
            return f"{path} was there"
        if own[path] != others[path]:
            before, now = (f"{file.size_bytes} bytes, SHA-256 {file.sha256[:12]}…" for file in (others[path], own[path]))
            return f"{path} had {before}, and now has {now}"
    return ""
