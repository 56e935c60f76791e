"""The commands of releases: keys, signatures, the registry, what is new, the demo. Heavy packages are imported inside of them."""

from pathlib import Path
from typing import Annotated

import typer

BundleFolder = Annotated[Path, typer.Argument(help="A folder that release made.", metavar="BUNDLE")]
PrivateKey = Annotated[Path, typer.Option("--key", help="The private key, as keygen made it.")]
Release = Annotated[str, typer.Argument(help="MODEL@VERSION.", metavar="MODEL@VERSION")]
RegistryPlace = Annotated[str, typer.Option("--to", help="The registry: a folder, or an address (https://, oci://) that may be written.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds that the server may be silent.")]
Alone = Annotated[bool, typer.Option("--alone", help="Nobody else publishes there meanwhile: for servers that ignore If-Match.")]
PublicKey = Annotated[Path, typer.Option("--key", help="The public key of whoever signs the releases.")]


def add_commands(app: typer.Typer) -> None:
    """Adds them to the command line."""
    for command in (keygen, sign, verify, publish, promote, yank, pull, diff, parity, demo):
        app.command()(command)


def keygen(
    private: Annotated[Path, typer.Argument(help="Where the private key goes; the public one goes beside it, as .pub.", metavar="FILE")],
) -> None:
    """Make a key pair that releases are signed with."""
    from .keys import key_id, make_keys, public_key

    public = make_keys(private)
    print(f"{private}: the private key; keep it where only the release job reads it")
    print(f"{public}: the public key, {key_id(public_key(public))[:12]}…; give it to everybody who pulls")


def sign(bundle: BundleFolder, key: PrivateKey) -> None:
    """Sign every file of a bundle. Nothing of it may change afterwards."""
    from .releases import sign_bundle

    print(f"{sign_bundle(bundle, key)}: written")


def verify(
    bundle: BundleFolder,
    key: PublicKey,
    signature_only: Annotated[bool, typer.Option("--signature-only", help="Run no golden pair.")] = False,
) -> None:
    """Check a bundle's signature and files, then run its golden pairs here. Exit code 1 if one misses a limit or none could be run."""
    from .verifying import verify_bundle

    raise typer.Exit(verify_bundle(bundle, key, signature_only))


def publish(
    bundle: BundleFolder,
    to: RegistryPlace,
    version: Annotated[str, typer.Option("--version", help="Such as 1.4.0; never used again for anything else.")],
    key: PrivateKey,
    channel: Annotated[str | None, typer.Option("--channel", help="That names it from now on, e.g. beta.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Of the model in the registry. Default: the model's own.")] = None,
    alone: Alone = False,
    timeout: Timeout = 30.0,
) -> None:
    """Add a signed bundle that passed to a registry: a folder that any web server or bucket can serve, or such a server itself."""
    from .registry import Place
    from .registry import publish as run

    done = run(bundle, Place(to, key, timeout, is_alone=alone), version=version, channel=channel, name=name)
    state = f"{done.files} files, {done.new_bytes:,} new bytes" if done.changed else "was there already"
    print(f"{done.model} {done.version} in {to}: {state}")


def promote(
    release: Release,
    channel: Annotated[str, typer.Argument(help="Such as stable.")],
    to: RegistryPlace,
    key: PrivateKey,
    alone: Alone = False,
    timeout: Timeout = 30.0,
) -> None:
    """Let a channel of a registry name a version."""
    from .registry import Place
    from .registry import promote as run

    model, version = _parts(release)
    changed = run(Place(to, key, timeout, is_alone=alone), model, version, channel)
    print(f"{to}: {model}@{channel} {'is now' if changed else 'was already'} {version}")


def yank(
    release: Release,
    to: RegistryPlace,
    key: PrivateKey,
    reason: Annotated[str, typer.Option("--reason", help="A sentence for those who wanted it.")],
    alone: Alone = False,
    timeout: Timeout = 30.0,
) -> None:
    """Withdraw a version: nobody can pull it any more. Its files stay, for whoever has to find out what was wrong."""
    from .registry import Place
    from .registry import yank as run

    model, version = _parts(release)
    changed = run(Place(to, key, timeout, is_alone=alone), model, version, reason)
    print(f"{to}: {model} {version} {'is withdrawn' if changed else 'was withdrawn already'}")


def pull(
    release: Annotated[str, typer.Argument(help="MODEL, MODEL@VERSION or MODEL@CHANNEL. Default: channel stable.", metavar="MODEL[@…]")],
    target: Annotated[str, typer.Option("--target", help="A target such as android, or an artifact of the release.")],
    source: Annotated[str, typer.Option("--from", help="Address or folder of the registry.")],
    to: Annotated[Path, typer.Option("--to", help="The folder to make; what was pulled into it before is replaced.")],
    key: PublicKey,
    golden: Annotated[bool, typer.Option("--golden", help="With the golden pairs, for the self-test on a phone.")] = False,
    timeout: Timeout = 30.0,
) -> None:
    """Download what a target needs of a release, verify it, and put it into place. Goes on where it was cut off."""
    from .pull import PullOptions
    from .pull import pull as run
    from .screen import download_bar

    with download_bar() as progress:
        done = run(PullOptions(release, target, source, to, key, golden, timeout), progress)
    state = f"{done.downloaded_bytes:,} downloaded" if done.changed else "was up to date"
    print(f"{done.model} {done.release}, {done.artifact}, in {to}: {done.files} files, {done.carried_bytes:,} bytes for the app; {state}")


def _parts(release: str) -> tuple[str, str]:
    model, _, version = release.partition("@")
    if not version:
        raise typer.BadParameter(f"'{release}': give MODEL@VERSION")
    return model, version


def diff(
    old: Annotated[Path, typer.Argument(help="A bundle.", metavar="OLD")],
    new: Annotated[Path, typer.Argument(help="A later one.", metavar="NEW")],
    key: Annotated[Path | None, typer.Option("--key", help="Public key that both have to be signed with.")] = None,
    pictures: Annotated[Path | None, typer.Option("--pictures", help="Folder for the pairs that differ most.")] = None,
) -> None:
    """Say what is new in a release: promises, pictures, files, tensors, ranges. Exit code 1 if anything is."""
    from .comparison.command import DiffOptions
    from .comparison.command import diff as run

    raise typer.Exit(run(DiffOptions(old, new, key, pictures)))


def parity(
    baseline: Annotated[str, typer.Option("--baseline", help="What apps have: REGISTRY@CHANNEL or REGISTRY@VERSION.")],
    key: PublicKey,
    candidate: Annotated[Path, typer.Option("--candidate", help="A folder that release made.")] = Path("dist"),
    name: Annotated[str | None, typer.Option("--name", help="Of the model in the registry. Default: the model's own.")] = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="File for the table, e.g. for a pull request.")] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="File for JUnit XML.")] = None,
) -> None:
    """Compare a candidate with the release that apps have. Exit code 1 if it is worse by more than its recipe allows."""
    from .comparison.parity_report import ParityOptions
    from .comparison.parity_report import parity as run

    raise typer.Exit(run(ParityOptions(baseline, candidate, key, name, markdown, junit)))


def demo(
    dist: Annotated[Path, typer.Argument(help="A folder that release made, with an artifact of the target web.", metavar="BUNDLE")] = Path(
        "dist"
    ),
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Of this machine; 0 takes any that is free.")] = 8642,
    artifact: Annotated[
        str | None, typer.Option("--artifact", metavar="NAME", help="The beginning of its name, e.g. web-int8-512. Default: an int8 one.")
    ] = None,
    style: Annotated[list[Path] | None, typer.Option("--style", metavar="ART", help="An artwork to offer; may be repeated.")] = None,
) -> None:
    """Serve a page, for this machine alone, that paints with a bundle's web artifact in the browser. Ctrl-C ends it, with exit code 0."""
    from .demo.command import demo as run

    run(dist, port, artifact, tuple(style or ()))
