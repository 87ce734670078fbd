"""The API server, spoken to in JSON with a bearer token."""

import contextlib
import datetime
import http.client
import json
import socket
import ssl
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

# Objects of the API, as they are on the wire.
Object = dict[str, Any]


def now() -> str:
    """The time, as most objects have it."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def now_exact() -> str:
    """The time, as leases have it."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def log(*words: object) -> None:
    print(now(), *words, file=sys.stderr, flush=True)


class ApiError(Exception):
    """The API server answered with something else than success."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}: {body[:300]}")
        self.status = status


# What a call may fail with.
CALL_ERRORS = (OSError, ApiError, http.client.HTTPException)


class Api:
    """One identity's way to the API server."""

    def __init__(self, server: str, authority: str, token: str) -> None:
        url = urllib.parse.urlsplit(server)
        self.server = server
        self.host, self.port = url.hostname or "", url.port or 443
        self.token = token
        self.tls = ssl.create_default_context(cafile=authority)
        self.local = threading.local()
        self.streams: set[http.client.HTTPSConnection] = set()

    def cut(self) -> None:
        """Breaks every open watch: whoever was away misses nothing, since each begins again with a list."""
        for link in list(self.streams):
            with contextlib.suppress(OSError, AttributeError):
                link.sock.shutdown(socket.SHUT_RDWR)

    def call(self, method: str, path: str, body: Object | None = None, kind: str = "application/json") -> Object:
        """Sends a request, twice if the connection had gone stale."""
        data = None if body is None else json.dumps(body).encode()
        for attempt in (1, 2):
            link: http.client.HTTPSConnection = getattr(self.local, "link", None) or self._connect(20)
            self.local.link = link
            try:
                link.request(method, path, data, self._headers(kind))
                answer = link.getresponse()
                text = answer.read().decode()
                break
            except (OSError, http.client.HTTPException):
                link.close()
                self.local.link = None
                if attempt == 2:
                    raise
        if answer.status >= 300:
            raise ApiError(answer.status, text)
        found: Object = json.loads(text) if text else {}
        return found

    def get(self, path: str) -> Object:
        return self.call("GET", path)

    def find(self, path: str) -> Object | None:
        try:
            return self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def create(self, path: str, body: Object) -> None:
        """Creates an object; there already is as good."""
        try:
            self.call("POST", path, body)
        except ApiError as error:
            if error.status != 409:
                raise

    def merge(self, path: str, body: Object) -> Object:
        return self.call("PATCH", path, body, "application/merge-patch+json")

    def merge_strategically(self, path: str, body: Object) -> Object:
        return self.call("PATCH", path, body, "application/strategic-merge-patch+json")

    def watch(self, path: str, selector: str, silent: threading.Event) -> Iterator[tuple[str, list[Object]]]:
        """Yields what is there (LIST) and then what changes, for ever; after each break it begins anew."""
        query = f"?fieldSelector={urllib.parse.quote(selector)}" if selector else "?"
        while True:
            try:
                yield from self._watch_once(path, query)
            except (*CALL_ERRORS, ValueError) as error:
                log("watch", path, error)
                time.sleep(0.5)
            while silent.is_set():
                time.sleep(0.2)

    def _watch_once(self, path: str, query: str) -> Iterator[tuple[str, list[Object]]]:
        listing = self.get(path + query)
        yield "LIST", listing["items"]
        version = listing["metadata"]["resourceVersion"]
        link = self._connect(60)
        self.streams.add(link)
        try:
            options = f"&watch=1&timeoutSeconds=45&resourceVersion={version}"
            link.request("GET", path + query + options, None, self._headers("application/json"))
            answer = link.getresponse()
            while line := answer.readline():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                yield event["type"], [event["object"]]
        finally:
            self.streams.discard(link)
            link.close()

    def _connect(self, timeout: float) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=self.tls)

    def _headers(self, kind: str) -> dict[str, str]:
        return {"Authorization": "Bearer " + self.token, "Accept": "application/json", "Content-Type": kind}
