"""The published JSON schemas of recipes: ``python -m instantstyle.export.schemas NAME > docs/NAME.schema.json``."""

import json
import sys

from ..recipe.schema import recipe_schema, table_schema
from ..targets.registry import BUILT_IN
from ..training.recipe import TrainingRecipe

NAMES = ("recipe", "training")


def schema_text(name: str) -> str:
    """What ``docs/<name>.schema.json`` holds: of recipes for ``release``, or for ``train``."""
    made = recipe_schema({target.name: target.precisions for target in BUILT_IN}) if name == "recipe" else table_schema(TrainingRecipe)
    return json.dumps(made, indent=1) + "\n"


if __name__ == "__main__":
    print(schema_text(sys.argv[1]), end="")
