"""Mobile and edge export toolchain for InstantStyle and other image-to-image PyTorch models.

    import instantstyle

    bundle = instantstyle.export(net, images="photos", targets=["android-int8"], limits={"min_ssim_mean": 0.95})
    paint = instantstyle.load(bundle)
    picture = paint(photo)
    instantstyle.compare(net_as_function, paint, images="other_photos")

Everything is imported at its first use, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from instantstyle.export.api import Bundle as Bundle
    from instantstyle.export.api import compare as compare
    from instantstyle.export.api import export as export
    from instantstyle.export.api import load as load
    from instantstyle.export.api import release as release
    from instantstyle.stylize.comparison import Comparison as Comparison
    from instantstyle.stylize.loaded import LoadedArtifact as LoadedArtifact
    from instantstyle.system.errors import InstantStyleError as InstantStyleError

    __version__: str

# Where names are found. `export` is a folder as well, whose package can be called.
_PLACES = {
    "Bundle": "export.api",
    "Comparison": "stylize.comparison",
    "InstantStyleError": "system.errors",
    "LoadedArtifact": "stylize.loaded",
    "compare": "export.api",
    "export": "",
    "load": "export.api",
    "release": "export.api",
}
__all__ = [
    "Bundle",
    "Comparison",
    "InstantStyleError",
    "LoadedArtifact",
    "__version__",
    "compare",
    "export",
    "load",
    "release",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("instantstyle")
    if name not in _PLACES:
        raise AttributeError(f"module 'instantstyle' has no attribute '{name}'; it has {', '.join(sorted(__all__))}")
    place = _PLACES[name]
    return getattr(import_module(f"instantstyle.{place}"), name) if place else import_module(f"instantstyle.{name}")


def __dir__() -> list[str]:
    return __all__
