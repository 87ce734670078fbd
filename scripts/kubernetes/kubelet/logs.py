"""`kubectl logs`: the API server asks the kubelet over TLS."""

import http.server
import os
import ssl
import threading
import time
import urllib.parse
from typing import BinaryIO

from .options import Options


def serve_logs(root: str, options: Options) -> None:
    """Serves the containers' logs in a thread of its own."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urllib.parse.urlsplit(self.path)
            parts = url.path.strip("/").split("/")
            if parts[0] != "containerLogs" or len(parts) != 4 or ".." in parts:
                self.send_error(404)
                return
            try:
                with open(os.path.join(root, "logs", "_".join(parts[1:]) + ".log"), "rb") as file:
                    self._send(file, urllib.parse.parse_qs(url.query))
            except FileNotFoundError:
                self.send_error(404)
            except OSError:
                pass  # the reader went away

        def _send(self, file: BinaryIO, query: dict[str, list[str]]) -> None:
            data = file.read()
            if "tailLines" in query:
                data = b"".join(data.splitlines(keepends=True)[-int(query["tailLines"][0]):])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(data)
            while query.get("follow") == ["true"]:
                self.wfile.write(file.read())
                self.wfile.flush()
                time.sleep(0.2)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer((options.address, options.port), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.certificate(), options.key())
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
