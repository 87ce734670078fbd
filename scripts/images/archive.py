"""Makes an image of a folder, without any engine: archive.py PROGRAM ROOT NAME:TAG FILE.

FILE is an OCI archive with one layer, as `docker load`, `podman load`, `kind load image-archive` and `ctr images import` read it.
Equal folders make equal files: entries are sorted, times and owners are fixed.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import platform
import tarfile
from typing import Any

USER = 65532
OWNED = "var/lib/stowage"
PORTS = {"monitor": 8081, "orchestrator": 8082, "consumer": 8080}
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def entry(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.mtime = 0
    info.uid = info.gid = USER if info.name == OWNED else 0
    info.uname = info.gname = ""
    return info


def layer(root: str) -> bytes:
    """The folder as a tar, uncompressed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for folder, folders, files in os.walk(root):
            folders.sort()
            for name in sorted(folders + files):
                path = os.path.join(folder, name)
                tar.add(path, os.path.relpath(path, root), recursive=False, filter=entry)
    return buffer.getvalue()


class Archive:
    """An OCI layout in a tar: blobs named by what they hold."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self.tar = tar

    def file(self, name: str, data: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        self.tar.addfile(info, io.BytesIO(data))

    def json(self, name: str, value: Any) -> None:
        self.file(name, json.dumps(value, sort_keys=True).encode())

    def blob(self, kind: str, data: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        self.file(f"blobs/sha256/{digest}", data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}


def write(archive: Archive, program: str, name: str, plain: bytes) -> str:
    """Writes the image whose only layer is `plain`, and says what it is."""
    packed = archive.blob("layer.v1.tar+gzip", gzip.compress(plain, 9, mtime=0))
    config = archive.blob("config.v1+json", json.dumps({
        "architecture": MACHINES[platform.machine()], "os": "linux",
        "config": {
            "User": f"{USER}:{USER}", "Entrypoint": [program], "ExposedPorts": {f"{PORTS[program]}/tcp": {}},
            "Env": ["PATH=/usr/local/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(plain).hexdigest()]},
        "history": [{"created_by": f"scripts/images.sh: {program}"}]}, sort_keys=True).encode())
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": [packed]}
    described = archive.blob("manifest.v1+json", json.dumps(manifest, sort_keys=True).encode())
    described["annotations"] = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rsplit(":", 1)[1]}
    archive.json("oci-layout", {"imageLayoutVersion": "1.0.0"})
    archive.json("index.json", {"schemaVersion": 2, "manifests": [described]})
    # For engines that do not read OCI layouts yet.
    blobs = [f"blobs/sha256/{blob['digest'].removeprefix('sha256:')}" for blob in (config, packed)]
    archive.json("manifest.json", [{"Config": blobs[0], "RepoTags": [name], "Layers": [blobs[1]]}])
    return f"{name}  {packed['size'] / 1e6:.1f} MB compressed, {len(plain) / 1e6:.1f} MB unpacked  {described['digest']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", choices=sorted(PORTS))
    parser.add_argument("root")
    parser.add_argument("name", help="NAME:TAG")
    parser.add_argument("file")
    options = parser.parse_args()
    with tarfile.open(options.file, "w", format=tarfile.GNU_FORMAT) as tar:
        said = write(Archive(tar), options.program, options.name, layer(options.root))
    print(f"{said}  {options.file}")


main()
