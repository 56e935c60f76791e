"""The errors that a user can act on. Everything else is a bug: the command line writes its traceback to a file and exits with code 70."""


class InstantStyleError(Exception):
    """Wrong input: says what is wrong, where, and what to do. The command line prints it and exits with code 2."""


class RecipeError(InstantStyleError):
    """A recipe has an unknown key, a wrong value or names something that does not exist."""


class CheckpointError(InstantStyleError):
    """A checkpoint is missing, truncated or does not fit the model."""


class ImageError(InstantStyleError):
    """An image or an image set cannot be used."""


class CalibrationError(InstantStyleError):
    """The activations of a model cannot be calibrated: NaN, infinity, or no value at all in a tensor."""


class CaptureError(InstantStyleError):
    """A model cannot be captured by ``torch.export`` or quantised; names the line of the model."""


class PruneError(InstantStyleError):
    """A model cannot be pruned as asked for; names the layers."""


class TrainingError(InstantStyleError):
    """A training gives NaN or infinity; says what to change."""


class ArtifactError(InstantStyleError):
    """An artifact is missing, altered or not what its manifest says."""


class TargetUnavailableError(InstantStyleError):
    """A target's package, driver or device is missing; says what to install."""


class ExecutionError(InstantStyleError):
    """A runner executed something else than was asked for, e.g. fell back to another provider."""


class MissingPackageError(InstantStyleError):
    """A package that only some commands need is not installed; says how to install it."""
