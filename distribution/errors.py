"""Why a bundle, a registry or a download is not trusted."""

from ..system.errors import InstantStyleError


class SignatureError(InstantStyleError):
    """Something is not what the owner of a key signed."""


class RegistryError(InstantStyleError):
    """A registry has not what was asked for, or does not keep to its own rules."""


class DownloadError(InstantStyleError):
    """Bytes did not arrive, or others than were announced; what was installed before is as it was."""
