"""The bill of materials of a bundle, as CycloneDX JSON (https://cyclonedx.org/docs/1.6/json/)."""

import uuid
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

from cyclonedx import model as cyclonedx_model
from cyclonedx.model import bom as cyclonedx_bom
from cyclonedx.model import component as cyclonedx_component
from cyclonedx.model import license as cyclonedx_license
from cyclonedx.model.component import ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from ...recipe.settings import ModelSettings
from ...validation.results.bundle import Bundle
from ...validation.results.provenance import Library

# The decorators of these classes hide their parameters from type checkers.
Bom: Any = cyclonedx_bom.Bom
Component: Any = cyclonedx_component.Component
HashType: Any = cyclonedx_model.HashType
Property: Any = cyclonedx_model.Property
DisjunctiveLicense: Any = cyclonedx_license.DisjunctiveLicense
FILE = "sbom.cdx.json"
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "instantstyle")


def sbom(bundle: Bundle, model: ModelSettings) -> str:
    """The model with its files, made of a checkpoint by the libraries that the build ran with. The same bundle gives the same bytes."""
    root = _model(bundle, model)
    parts = [*_files(bundle), *_libraries(bundle)]
    bom = Bom(components=parts)
    bom.metadata.component = root
    bom.metadata.timestamp = bundle.created
    bom.register_dependency(root, parts)
    names = "\n".join(sorted(f"{part.bom_ref.value} {part.version or ''}" for part in parts))
    bom.serial_number = uuid.uuid5(NAMESPACE, f"{bundle.model.name} {bundle.recipe.sha256} {bundle.created.isoformat()}\n{names}")
    return JsonV1Dot6(bom).output_as_string(indent=1) + "\n"


def licence_of(library: str) -> str:
    """What an installed distribution says of its licence, on one line; empty if it says nothing or is not there."""
    try:
        metadata: Any = distribution(library).metadata
    except PackageNotFoundError:
        return ""
    expression = metadata.get("License-Expression") or ""
    classifiers = [line.rpartition(" :: ")[2] for line in metadata.get_all("Classifier") or [] if line.startswith("License :: ")]
    named = (metadata.get("License") or "").strip().partition("\n")[0]
    return expression or "; ".join(classifiers) or named


def _model(bundle: Bundle, model: ModelSettings) -> Any:
    hashes = (
        [HashType(alg=cyclonedx_model.HashAlgorithm.SHA_256, content=bundle.model.checkpoint_sha256)]
        if bundle.model.checkpoint_sha256
        else []
    )
    return Component(
        name=bundle.model.name,
        version=model.version or None,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref="model",
        author=model.author or None,
        licenses=[DisjunctiveLicense(name=model.license)] if model.license else None,
        hashes=hashes,
        properties=[
            Property(name="instantstyle:recipe", value=bundle.recipe.name),
            Property(name="instantstyle:recipe-sha256", value=bundle.recipe.sha256),
            Property(name="instantstyle:reference-sha256", value=bundle.reference_sha256),
        ],
    )


def _files(bundle: Bundle) -> Iterator[Any]:
    for artifact in bundle.artifacts:
        for file in artifact.files:
            path = f"{artifact.folder}/{file.path}"
            hashes = [HashType(alg=cyclonedx_model.HashAlgorithm.SHA_256, content=file.sha256)]
            yield Component(name=path, type=ComponentType.FILE, bom_ref=f"file:{path}", hashes=hashes)


def _libraries(bundle: Bundle) -> Iterator[Any]:
    for library in bundle.libraries:
        if library.version:
            yield _library(library)


def _library(library: Library) -> Any:
    licence = licence_of(library.name)
    url = PackageURL("pypi", name=library.name.lower().replace("_", "-"), version=library.version)
    return Component(
        name=library.name,
        version=library.version,
        type=ComponentType.LIBRARY,
        bom_ref=str(url),
        purl=url,
        licenses=[DisjunctiveLicense(name=licence)] if licence else None,
    )
