"""A registry in a repository of an OCI registry (distribution specification 1.1), through ``oras``.

A version's manifest, tagged ``MODEL-VVERSION``, has all files of the bundle as layers, so that nothing removes them; any OCI client can
fetch it. OCI knows no conditional writes. So no tag is ever written twice: each state of an index is a manifest of its own, tagged
``MODEL.INDEX.SERIAL.DIGEST``, and a publication that finds tags afterwards that it did not know merges them.
"""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...system.errors import MissingPackageError
from ...targets.base import ArtifactFile
from ..errors import DownloadError, RegistryError
from ..layout import Blob
from ..patience import TransientError, patiently
from .answers import NOT_FOUND, check_readable, check_transient, check_written, explained, start_of
from .base import Found, Reader, Store

if TYPE_CHECKING:
    from oras.container import Container
    from oras.provider import Registry
    from requests import Response

SCHEME, INSTALL = "oci://", 'pip install "instantstyle[oci]"'
ADDRESS = re.compile(r"([A-Za-z0-9.-]+(?::\d+)?)/([a-z0-9]+(?:[._/-]+[a-z0-9]+)*)")
LOOPBACK = ("localhost", "127.0.0.1")  # without TLS, as other clients have it
INDEX_TAG = re.compile(r"(.+)\.INDEX\.(\d+)\.[0-9a-f]{12}")
INDEX_TYPE, FILE_TYPE = "application/vnd.instantstyle.index.v1+json", "application/octet-stream"
EMPTY, EMPTY_TYPE = b"{}", "application/vnd.oci.empty.v1+json"
TITLE = "org.opencontainers.image.title"
WAY_OUT = "log in with an OCI client such as `docker login`, which writes ~/.docker/config.json"
CHUNK_BYTES = 64 * 1024


class _Repository:
    """Requests to one repository."""

    def __init__(self, place: str, timeout_s: float) -> None:
        match = ADDRESS.fullmatch(place.removeprefix(SCHEME).rstrip("/"))
        if match is None:
            raise RegistryError(f"{place}: is no repository; give {SCHEME}HOST/REPOSITORY in small letters, without a tag")
        host = match[1]
        self.where = place
        self.registry, self.container = _client(host, match[2], host.partition(":")[0] in LOOPBACK, timeout_s)

    def url(self, path: str) -> str:
        """Of something in the repository."""
        return f"{self.registry.prefix}://{self.container.registry}/v2/{self.container.api_prefix}/{path}"

    @contextmanager
    def asked(self, url: str, method: str = "GET", **given: Any) -> Iterator["Response"]:
        """The answer to one request, whatever its status; closed in the end. Failures of the connection are TransientError."""
        with _explained(url):
            response = self.registry.do_request(url, method, stream=True, **given)
            try:
                yield response
            finally:
                response.close()

    def tags(self) -> list[str]:
        """Of the repository; none if there is no such one."""
        found: list[str] = []
        url: str | None = self.url("tags/list")
        while url:
            with self.asked(url) as response:
                if response.status_code == NOT_FOUND:
                    return []
                check_readable(response.raw, url)
                found += response.json().get("tags") or []
                following = response.links.get("next", {}).get("url")
                url = f"{self.registry.prefix}://{self.container.registry}{following}" if following else None
        return found

    def heads(self, model: str) -> tuple[list[str], list[str]]:
        """Tags of a model's indices, and those of them with the highest serial."""
        matches = [match for tag in self.tags() if (match := INDEX_TAG.fullmatch(tag)) and match[1] == model]
        highest = max((int(match[2]) for match in matches), default=0)
        return sorted(match[0] for match in matches), sorted(match[0] for match in matches if int(match[2]) == highest)

    def index_blob(self, tag: str) -> Blob:
        """Where a tagged index lies."""
        url = self.url(f"manifests/{tag}")
        with self.asked(url, headers={"Accept": "application/vnd.oci.image.manifest.v1+json"}) as response:
            check_readable(response.raw, url)
            try:
                (layer,) = response.json()["layers"]
                return Blob(re.fullmatch(r"sha256:([0-9a-f]{64})", layer["digest"])[1], int(layer["size"]))  # pyright: ignore[reportOptionalSubscript]
            except (ValueError, KeyError, TypeError) as error:
                raise RegistryError(f"{url}: is not the manifest of an index; check the address") from error

    @contextmanager
    def blob(self, blob: Blob, offset: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        url = self.url(f"blobs/sha256:{blob.sha256}")
        with self.asked(url, headers={"Range": f"bytes={offset}-"} if offset else {}) as response:
            check_readable(response.raw, url)
            yield start_of(response.raw, url, offset, blob.size_bytes), response.raw.stream(CHUNK_BYTES, decode_content=False)


def _client(host: str, repository: str, is_insecure: bool, timeout_s: float) -> tuple["Registry", "Container"]:
    try:
        from oras.container import Container
        from oras.provider import Registry
    except ImportError as error:
        raise MissingPackageError(f"OCI registries need oras ({error}): {INSTALL}") from error

    class Once(Registry):
        """oras tries each request again for two minutes; here, what is worth another attempt is decided by others."""

        def do_request(self, url: str, *given: Any, **named: Any) -> "Response":
            response = Registry.do_request.__wrapped__(self, url, *given, **named)  # pyright: ignore[reportFunctionMemberAccess]
            check_transient(response.raw, url)
            return response

    registry = Once(host, insecure=is_insecure)
    # oras gives no time limit, and without one a silent server is waited for for ever.
    registry.session.request = partial(registry.session.request, timeout=timeout_s)  # pyright: ignore[reportAttributeAccessIssue]
    by_token = registry.auth.authenticate_request

    def authenticate(answer: "Response", headers: dict[str, str], refresh: bool = False) -> tuple[dict[str, str], bool]:
        """oras takes the realm of a registry that wants a password for the address of one that gives tokens."""
        if not answer.headers.get("Www-Authenticate", "").lower().startswith("basic"):
            return by_token(answer, headers, refresh)
        known = getattr(registry.auth, "_basic_auth", "")
        return (headers | {"Authorization": f"Basic {known}"}, True) if known else (headers, False)

    registry.auth.authenticate_request = authenticate
    container = Container(f"{host}/{repository}")
    registry.auth.load_configs(container)
    return registry, container


@contextmanager
def _explained(url: str) -> Iterator[None]:
    from oras.auth import AuthenticationException
    from requests.exceptions import JSONDecodeError, RequestException

    try:
        with explained(url):
            yield
    except (AuthenticationException, ValueError) as error:
        if isinstance(error, JSONDecodeError):
            raise RegistryError(f"{url}: the answer is no JSON; check the address") from error
        raise RegistryError(f"{url}: may not be read or written ({error}); {WAY_OUT}") from error
    except RequestException as error:
        raise TransientError(f"{url}: the server cannot be reached, is silent or lost the connection ({type(error).__name__})") from error


class OciReader(Reader):
    """Reads a registry in an OCI repository."""

    def __init__(self, place: str, timeout_s: float) -> None:
        self.where, self._repository = place, _Repository(place, timeout_s)

    @contextmanager
    def open_index(self, model: str) -> Iterator[Iterator[bytes]]:
        _, heads = self._repository.heads(model)
        if not heads:
            raise RegistryError(f"{self.where}: has no index of '{model}'; check the address and the model's name")
        with self._repository.blob(self._repository.index_blob(heads[-1]), 0) as (_, chunks):
            yield chunks

    @contextmanager
    def open_blob(self, blob: Blob, offset: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        with self._repository.blob(blob, offset) as found:
            yield found

    def close(self) -> None:
        self._repository.registry.session.close()


class OciStore(Store):
    """Changes a registry in an OCI repository, which the OCI registry makes if there is none."""

    def __init__(self, place: str, timeout_s: float) -> None:
        self.where, self._repository = place, _Repository(place, timeout_s)
        self._known: set[str] | None = None  # tags of indices: those read before, and our own

    def close(self) -> None:
        self._repository.registry.session.close()

    def find(self, model: str) -> Found | None:
        tags, heads = patiently(lambda: self._repository.heads(model))
        met = [] if self._known is None else [tag for tag in tags if tag not in self._known]
        self._known = set(tags)
        contents = tuple(patiently(lambda tag=tag: self._index(tag)) for tag in dict.fromkeys((*heads, *met)))
        return Found(contents, " ".join(heads)) if contents else None

    def put(self, content: Path, blob: Blob) -> int:
        return patiently(lambda: self._put(content, blob))

    def replace(self, model: str, content: str, serial: int, before: Found | None) -> None:
        data = content.encode()
        with tempfile.TemporaryDirectory(prefix="instantstyle-oci-") as scratch:
            file = Path(scratch, "index.json")
            file.write_bytes(data)
            blob = Blob(sha256(data).hexdigest(), len(data))
            self.put(file, blob)
        tag = f"{model}.INDEX.{serial:08}.{blob.sha256[:12]}"
        self._known = (self._known or set()) | {tag}
        self._tag(tag, [_layer(blob, INDEX_TYPE, "index.json")])

    def keep(self, model: str, version: str, files: Sequence[ArtifactFile]) -> None:
        self._tag(f"{model}-V{version}", [_layer(Blob(file.sha256, file.size_bytes), FILE_TYPE, file.path) for file in files])

    def _tag(self, tag: str, layers: list[dict[str, Any]]) -> None:
        with tempfile.TemporaryDirectory(prefix="instantstyle-oci-") as scratch:
            empty = Blob(sha256(EMPTY).hexdigest(), len(EMPTY))
            Path(scratch, "empty").write_bytes(EMPTY)
            self.put(Path(scratch, "empty"), empty)
        kind = "application/vnd.oci.image.manifest.v1+json"
        config = {"mediaType": EMPTY_TYPE, "digest": f"sha256:{empty.sha256}", "size": empty.size_bytes}
        manifest = {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers}
        url = self._repository.url(f"manifests/{tag}")

        def attempt() -> None:
            with self._repository.asked(url, "PUT", headers={"Content-Type": kind}, json=manifest) as response:
                check_written(response.raw, url, WAY_OUT)

        patiently(attempt)

    def _put(self, content: Path, blob: Blob) -> int:
        repository = self._repository
        layer = {"digest": f"sha256:{blob.sha256}", "size": blob.size_bytes}
        url = repository.url(f"blobs/sha256:{blob.sha256}")
        with _explained(url):
            if repository.registry.blob_exists(layer, repository.container):
                return 0
            answer = repository.registry.put_upload(str(content), repository.container, layer)
            check_written(answer.raw, url, WAY_OUT)
        return blob.size_bytes

    def _index(self, tag: str) -> bytes:
        blob = self._repository.index_blob(tag)
        with self._repository.blob(blob, 0) as (_, chunks):
            content = b"".join(chunks)
        if sha256(content).hexdigest() != blob.sha256:
            raise DownloadError(f"{self.where}: the index {tag} has another content than its digest says")
        return content


def _layer(blob: Blob, kind: str, title: str) -> dict[str, Any]:
    return {"mediaType": kind, "digest": f"sha256:{blob.sha256}", "size": blob.size_bytes, "annotations": {TITLE: title}}
