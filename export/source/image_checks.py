"""Whether images can judge a model: enough of them that differ, and none that it was fitted on."""

from collections.abc import Sequence
from pathlib import Path

from ...calibration.imageset import ImageSet
from ...calibration.samples import Pairing, sample_names
from ...system.errors import ImageError

Pictures = Sequence[Sequence[str]]


def count_different(pictures: Pictures, pairing: Pairing) -> int:
    """Validation samples that differ in what they show.

    Args:
        pictures: hashes of the pictures of each image set.
    """
    return len(set(sample_names(pictures, pairing)))


def check_disjoint(
    calibration: Sequence[ImageSet], fitted: Pictures, validation: Sequence[ImageSet], judged: Pictures, recipe: Path
) -> None:
    """Refuses a validation set that shares a picture with the calibration set, however the files are called or stored.

    Args:
        fitted, judged: hashes of the pictures of both sets, or of their files.

    Raises:
        ImageError: names the first two files.
    """
    known = {
        each: path for images, hashes in zip(calibration, fitted, strict=True) for path, each in zip(images.files, hashes, strict=True)
    }
    own = [(path, each) for images, hashes in zip(validation, judged, strict=True) for path, each in zip(images.files, hashes, strict=True)]
    shared = [(path, known[each]) for path, each in own if each in known]
    if shared:
        path, other = shared[0]
        more = f", and {len(shared) - 1} more likewise" if len(shared) > 1 else ""
        raise ImageError(
            f"{recipe}: images: {path} is to judge the model and shows the same picture as {other}, which it is fitted on{more}; "
            "remove it from one of the sets"
        )
