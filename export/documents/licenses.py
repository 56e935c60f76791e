"""Under what terms the parts of a bundle may be passed on, as far as they say so themselves."""

from ...recipe.settings import ModelSettings
from ...system.tables import markdown_table
from ...validation.results.bundle import Bundle
from .sbom import licence_of

FILE = "licenses.md"


def licenses(bundle: Bundle, settings: ModelSettings) -> str:
    """The file's content."""
    model = settings.license or "not said in the recipe: ask its author before you pass it on"
    lines = [f"# Licences of {bundle.model.name}", "", f"- Model and artifacts: {model}"]
    lines += ["- Code for apps (`app/`, `*.kt`, `*.swift`): Apache-2.0"]
    lines += ["- Pictures in `golden/`: reduced copies of the validation images, under the licences of these"]
    lines += ["", "The build ran with these libraries, of which nothing is in the bundle:", ""]
    rows = ((each.name, each.version, licence_of(each.name) or "not said") for each in bundle.libraries if each.version)
    return "\n".join([*lines, *markdown_table(("Library", "Version", "Licence"), rows), ""])
