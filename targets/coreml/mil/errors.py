"""What can be wrong with a Core ML package."""

from ....system.errors import ArtifactError, InstantStyleError


class PackageError(ArtifactError):
    """A ``.mlpackage`` that is damaged or of an unknown kind; says which file and what about it."""


class UnknownOperatorError(InstantStyleError):
    """An operator, or one of its parameters, that the reference evaluator does not know; names it, its opset and its place."""
