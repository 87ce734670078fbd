"""Runs the kubelet until it is asked to end."""

import signal
import threading

from . import __doc__ as about
from .api import Api, log
from .logs import serve_logs
from .node import Node
from .options import parse
from .provisioner import Provisioner


def main() -> None:
    options = parse(about)
    node = Node(Api(options.server, options.certificate(), options.token_of(f"system:node:{options.node}")), options)
    apis = [node.api]
    node.register()
    serve_logs(node.root, options)
    if options.provisioner_token_of:
        api = Api(options.server, options.certificate(), options.token_of(options.provisioner_token_of))
        apis.append(api)
        threading.Thread(target=Provisioner(api, node).run, daemon=True).start()
    for task in (node.beat, node.watch):
        threading.Thread(target=task, daemon=True).start()

    def fall_silent(*_: object) -> None:
        node.silent.set()
        for api in apis:
            api.cut()

    done = threading.Event()
    signal.signal(signal.SIGUSR1, fall_silent)
    signal.signal(signal.SIGUSR2, lambda *_: node.silent.clear())
    for end in (signal.SIGTERM, signal.SIGINT):
        signal.signal(end, lambda *_: done.set())
    log("node", options.node, "ready")
    while not done.wait(0.5):
        pass
    node.close()


main()
