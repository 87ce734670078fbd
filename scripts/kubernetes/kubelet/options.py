"""The flags of the kubelet."""

import argparse
import csv
import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """What a kubelet is started with."""

    server: str
    certificates: str
    tokens: str
    node: str
    root: str
    images: str
    address: str
    port: int
    network: int
    heartbeat: float
    backoff: float
    namespaces: bool
    provisioner_token_of: str | None

    def certificate(self) -> str:
        """The API server's own, by which it is known, and which the kubelet shows, too."""
        return os.path.join(self.certificates, "apiserver.crt")

    def key(self) -> str:
        return os.path.join(self.certificates, "apiserver.key")

    def token_of(self, user: str) -> str:
        """From the API server's list of identities, so that no token stands on a command line."""
        with open(self.tokens, newline="") as file:
            found = [row[0] for row in csv.reader(file) if row[1] == user]
        if not found:
            raise SystemExit(f"{self.tokens} has no token of {user}")
        return found[0]


def parse(description: str | None) -> Options:
    parser = argparse.ArgumentParser(prog="kubelet", description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True, help="https://127.0.0.1:PORT")
    parser.add_argument("--certificates", required=True, help="folder with the API server's certificate and key")
    parser.add_argument("--tokens", required=True, help="the API server's list of identities")
    parser.add_argument("--provisioner-token-of", help="make volumes for the whole cluster, with this identity's rights")
    parser.add_argument("--node", required=True, help="name of the node")
    parser.add_argument("--root", required=True, help="pods, logs, volumes and faults live here")
    parser.add_argument("--images", required=True, help="JSON file: image -> program, or [program, argument, ...]")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="for kubectl logs")
    parser.add_argument("--network", type=int, required=True, help="N of the pods' addresses 127.N.x.y")
    parser.add_argument("--heartbeat", type=float, default=2, help="seconds between signs of life")
    parser.add_argument("--backoff", type=float, default=1, help="first pause after repeated crashes, in seconds")
    parser.add_argument("--namespaces", action="store_true", help="mount volumes where pods expect them (needs root)")
    return Options(**vars(parser.parse_args()))
