"""Real servers of Debian packages on loopback, each with a folder of its own, for as long as a block runs."""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

APACHE = """\
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule dav_module {modules}/mod_dav.so
LoadModule dav_fs_module {modules}/mod_dav_fs.so
ServerName localhost
ServerRoot {folder}
Listen 127.0.0.1:{port}
PidFile {folder}/pid
ErrorLog {folder}/errors
DAVLockDB {folder}/locks
DocumentRoot {folder}/root
<Directory {folder}/root>
Require all granted
Dav On
</Directory>
"""
NGINX = """\
pid {folder}/pid; error_log {folder}/errors; daemon off; {user}
events {{}}
http {{
  access_log off; client_body_temp_path {folder}/body;
  server {{ listen 127.0.0.1:{port}; root {folder}/root; client_max_body_size 0;
    location / {{ dav_methods PUT; create_full_put_path on; }} }}
}}
"""
REGISTRY = """\
version: 0.1
storage: {{filesystem: {{rootdirectory: {folder}/root}}}}
http: {{addr: "127.0.0.1:{port}"}}
log: {{level: error}}
{auth}
"""
# "me" with the password "secret", as `htpasswd -B` writes it.
HTPASSWD = "me:$2y$05$aY9NR5N8VXDPv2dTeQQjSuPFtL1eZCWVgB20GEQDXnrxr3b0X/TIG"


@contextmanager
def apache(folder: Path) -> Iterator[str]:
    """WebDAV that keeps to conditions, and wants folders to be made first."""
    program = _program("apache2")
    modules = Path("/usr/lib/apache2/modules")
    with _running(folder, APACHE.format(modules=modules, folder=folder, port="{port}"), [program, "-DFOREGROUND", "-f"]) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def nginx(folder: Path) -> Iterator[str]:
    """PUT that ignores conditions."""
    user = "user root;" if os.geteuid() == 0 else ""
    with _running(folder, NGINX.format(folder=folder, port="{port}", user=user), [_program("nginx"), "-c"]) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def docker_registry(folder: Path, has_password: bool = False) -> Iterator[str]:
    """The reference implementation of OCI's distribution specification."""
    folder.mkdir()
    (folder / "htpasswd").write_text(HTPASSWD)
    auth = f"auth: {{htpasswd: {{realm: models, path: {folder}/htpasswd}}}}" if has_password else ""
    text = REGISTRY.format(folder=folder, port="{port}", auth=auth)
    with _running(folder, text, [_program("docker-registry"), "serve"]) as port:
        yield f"oci://127.0.0.1:{port}/models/paint"


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"no {name} here: apt-get install {name}")
    return found


@contextmanager
def _running(folder: Path, configuration: str, command: list[str]) -> Iterator[int]:
    (folder / "root").mkdir(parents=True)
    folder.chmod(0o777)
    (folder / "root").chmod(0o777)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "configuration").write_text(configuration.replace("{port}", str(port)))
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen([*command, str(folder / "configuration")], stdout=output, stderr=output)
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
            except urllib.error.HTTPError:
                pass  # an answer is an answer
            except OSError:
                time.sleep(0.1)
                continue
            break
        yield port
    finally:
        process.terminate()
        process.wait(20)
