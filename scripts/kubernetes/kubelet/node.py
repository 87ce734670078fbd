"""The node: registers itself, keeps its lease fresh, and has the pods that are bound to it."""

import json
import os
import signal
import threading
import time

from .api import CALL_ERRORS, Api, Object, log, now, now_exact
from .options import Options
from .pod import Pod

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
# More than any test asks for, so that only what a test limits is scarce.
SIZE = {"cpu": "64", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "1000"}
ADDRESSES = 250


class Node:
    """One node of the cluster, played by this process."""

    def __init__(self, api: Api, options: Options) -> None:
        self.api, self.options, self.root = api, options, os.path.abspath(options.root)
        self.name, self.born = options.node, now()
        self.lock = threading.Lock()
        self.pods: dict[str, Pod] = {}
        self.counter = 0
        self.silent = threading.Event()
        for folder in ("pods", "logs", "volumes", "faults"):
            os.makedirs(os.path.join(self.root, folder), exist_ok=True)

    def has_fault(self, name: str) -> bool:
        return os.path.exists(os.path.join(self.root, "faults", name))

    def image(self, name: str) -> list[str] | None:
        """The program that stands for an image, with any tag unless the tag is listed."""
        try:
            with open(self.options.images) as file:
                images = json.load(file)
        except (OSError, ValueError) as error:
            log("images", error)
            return None
        found = images.get(name) or images.get(name.rsplit(":", 1)[0])
        return [found] if isinstance(found, str) else found

    def free_address(self) -> str:
        with self.lock:
            self.counter += 1
            return f"127.{self.options.network}.{self.counter // ADDRESSES % ADDRESSES}.{self.counter % ADDRESSES + 1}"

    def forget(self, pod: Pod) -> None:
        with self.lock:
            self.pods.pop(pod.uid, None)

    def register(self) -> None:
        labels = {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
        meta = {"name": self.name, "labels": labels}
        self.api.create("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": meta})
        self._beat()

    def beat(self) -> None:
        """Says for ever that the node lives."""
        while True:
            time.sleep(self.options.heartbeat)
            if not self.silent.is_set():
                try:
                    self._beat()
                except CALL_ERRORS as error:
                    log("heartbeat", error)

    def watch(self) -> None:
        """Follows for ever which pods are bound to this node."""
        for kind, manifests in self.api.watch("/api/v1/pods", f"spec.nodeName={self.name}", self.silent):
            if self.silent.is_set():
                continue
            if kind == "LIST":
                listed = {manifest["metadata"]["uid"] for manifest in manifests}
                for pod in [pod for uid, pod in list(self.pods.items()) if uid not in listed]:
                    pod.vanish()
            for manifest in manifests:
                self._take(kind, manifest)

    def close(self) -> None:
        """Ends every process; the pods stay in the API, as after a node's sudden death."""
        for pod in list(self.pods.values()):
            for container in pod.containers:
                container.signal(signal.SIGKILL)

    def _take(self, kind: str, manifest: Object) -> None:
        uid = manifest["metadata"]["uid"]
        with self.lock:
            pod = self.pods.get(uid)
        if kind == "DELETED":
            if pod:
                pod.vanish()
        elif pod:
            pod.update(manifest)
        elif manifest.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            self.pods[uid] = Pod(self, manifest)

    def _beat(self) -> None:
        self.api.merge_strategically(f"/api/v1/nodes/{self.name}/status", {"status": self._status()})
        spec = {"holderIdentity": self.name, "leaseDurationSeconds": 40, "renewTime": now_exact()}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self.name}, "spec": spec}
        if self.api.find(f"{LEASES}/{self.name}"):
            self.api.merge(f"{LEASES}/{self.name}", {"spec": spec})
        else:
            self.api.create(LEASES, lease)

    def _status(self) -> Object:
        times = {"lastHeartbeatTime": now(), "lastTransitionTime": self.born}
        conditions = [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "a kubelet for tests", **times}]
        for kind in ("MemoryPressure", "DiskPressure", "PIDPressure"):
            conditions.append({"type": kind, "status": "False", "reason": "Fine", **times})
        addresses = [{"type": "InternalIP", "address": self.options.address}, {"type": "Hostname", "address": self.name}]
        info = {
            "kubeletVersion": "v1.34.4", "containerRuntimeVersion": "process://1", "operatingSystem": "linux",
            "architecture": "amd64", "osImage": "test", "kernelVersion": os.uname().release, "kubeProxyVersion": "",
            "machineID": "", "systemUUID": "", "bootID": ""}
        return {
            "capacity": SIZE, "allocatable": SIZE, "conditions": conditions, "addresses": addresses, "nodeInfo": info,
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.options.port}}}
