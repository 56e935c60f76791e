"""The recipe of `make gpu-check`: that of the server, for one TensorRT and one GPU, where only an executed engine is a pass."""

import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import tomlkit

from instantstyle.system.errors import RecipeError
from instantstyle.targets.tensorrt.bindings import TENSORRT, TENSORRT_RTX, Product


def derive(text: str, product: Product, capability: int) -> str:
    """A recipe that builds ``product`` for ``capability`` alone and asks for the level ``passed``.

    Precisions and options are those of the product in ``text``, or else of the other TensorRT.

    Raises:
        RecipeError: ``text`` builds neither.
    """
    content = tomllib.loads(text)
    targets = content["targets"]
    source = next((name for name in (product.target, TENSORRT_RTX.target, TENSORRT.target) if name in targets["build"]), None)
    if source is None:
        raise RecipeError(f"targets.build has neither {TENSORRT_RTX.target} nor {TENSORRT.target}, so there is nothing to check on a GPU")
    options = dict(targets.get("options", {}).get(source, {}))
    options.pop("capabilities", None)
    if product.ahead_of_time:
        options["capabilities"] = [capability]
    content["targets"] = {
        "build": {product.target: targets["build"][source]},
        "required": [product.target],
        "level": {product.target: "passed"},
        "options": {product.target: options},
    }
    limits = content.get("limits", {})
    content["limits"] = {name: value for name, value in limits.items() if not isinstance(value, Mapping)}
    # Limits of its own go with the target, by precision or not.
    for name, value in limits.items():
        if isinstance(value, Mapping) and (name == source or name.removeprefix(f"{source}-") in targets["build"][source]):
            content["limits"][product.target + name.removeprefix(source)] = value
    return tomlkit.dumps(content)


@contextmanager
def derived(recipe: Path, product: Product, capability: int) -> Iterator[Path]:
    """The derived recipe as a file beside ``recipe``, whose paths are relative to it, for as long as the context lasts."""
    text = derive(recipe.read_text(encoding="utf-8"), product, capability)
    # Git ignores recipes of that name, should this process be killed.
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=recipe.parent, prefix=f"{recipe.stem}-{product.target}-", suffix="-found.toml"
    ) as file:
        file.write(text)
        file.flush()
        yield Path(file.name)
