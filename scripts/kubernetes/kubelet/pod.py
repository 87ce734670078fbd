"""One pod, and the thread that takes it from pending to gone."""

import http.client
import json
import os
import re
import shutil
import signal
import threading
import time
from typing import TYPE_CHECKING

from .api import CALL_ERRORS, ApiError, Object, log, now
from .container import Container, NotYet
from .text import expand, quantity
from .volumes import Volumes, keys, reference

if TYPE_CHECKING:
    from .node import Node


class Pod:
    """A pod that is bound to this node."""

    def __init__(self, node: "Node", manifest: Object) -> None:
        self.node, self.manifest = node, manifest
        meta = manifest["metadata"]
        self.namespace, self.name, self.uid = str(meta["namespace"]), str(meta["name"]), str(meta["uid"])
        self.key = f"{self.namespace}/{self.name}"
        self.path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"
        self.directory = os.path.join(node.root, "pods", self.uid)
        os.makedirs(self.directory, exist_ok=True)
        self.address = node.free_address()
        self.begun = now()
        # When each condition became what it is.
        self.since: dict[str, tuple[bool, str]] = {}
        self.containers = [Container(self, spec) for spec in manifest["spec"]["containers"]]
        self.volumes = Volumes(self)
        self.changed = threading.Event()
        self.is_gone = False
        threading.Thread(target=self._run, daemon=True).start()

    def update(self, manifest: Object) -> None:
        self.manifest = manifest
        self.changed.set()

    def vanish(self) -> None:
        """The object is gone without a grace period (force delete)."""
        self.is_gone = True
        self.changed.set()

    def is_being_deleted(self) -> bool:
        return "deletionTimestamp" in self.manifest["metadata"]

    def field(self, path: str) -> str:
        """What the downward API tells."""
        meta = self.manifest["metadata"]
        if found := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
            return str(meta.get(found[1], {}).get(found[2], ""))
        if path in ("metadata.labels", "metadata.annotations"):
            values = meta.get(path.split(".")[1], {})
            return "".join(f"{name}={json.dumps(value)}\n" for name, value in sorted(values.items()))
        here = {"status.podIP": self.address, "status.podIPs": self.address, "status.hostIP": self.node.options.address}
        if path in here:
            return here[path]
        value = self.manifest
        for part in path.split("."):
            value = value.get(part, {})
        return str(value or "")

    def environment(self, spec: Object) -> dict[str, str]:
        env = {"KUBERNETES_SERVICE_HOST": self.node.api.host, "KUBERNETES_SERVICE_PORT": str(self.node.api.port)}
        for source in spec.get("envFrom", []):
            for key, data in keys(self, *reference(source)).items():
                env[source.get("prefix", "") + key] = data.decode()
        for item in spec.get("env", []):
            source = item.get("valueFrom")
            value = self._value(spec, source) if source else expand(item.get("value", ""), env)
            if value is not None:
                env[item["name"]] = value
        return env

    def volume(self, mount: Object) -> str:
        return self.volumes.path(mount)

    def kubeconfig(self, account: str) -> str:
        """For a program whose service account is not at the usual place."""
        path = os.path.join(self.directory, "kubeconfig")
        cluster = {"server": self.node.api.server, "certificate-authority": account + "/ca.crt"}
        context = {"cluster": "pod", "user": "pod", "namespace": self.namespace}
        with open(path, "w") as file:
            json.dump({
                "apiVersion": "v1", "kind": "Config", "current-context": "pod",
                "clusters": [{"name": "pod", "cluster": cluster}],
                "users": [{"name": "pod", "user": {"tokenFile": account + "/token"}}],
                "contexts": [{"name": "pod", "context": context}]}, file)
        return path

    def _value(self, spec: Object, source: Object) -> str | None:
        if "fieldRef" in source:
            return self.field(source["fieldRef"]["fieldPath"])
        if "resourceFieldRef" in source:
            kind, name = source["resourceFieldRef"]["resource"].split(".", 1)
            return str(quantity(spec.get("resources", {}).get(kind, {}).get(name, "0"), name))
        kind, name, is_optional = reference(source)
        key = (source.get("configMapKeyRef") or source["secretKeyRef"])["key"]
        data = keys(self, kind, name, is_optional)
        if key in data:
            return data[key].decode()
        if is_optional:
            return None
        raise NotYet("CreateContainerConfigError", f"couldn't find key {key} in {kind} {name}")

    def _run(self) -> None:
        restart = self.manifest["spec"].get("restartPolicy", "Always")
        is_news = True
        while not self.is_gone and not self.is_being_deleted():
            for container in self.containers:
                try:
                    is_news |= container.step(restart)
                except (*CALL_ERRORS, KeyError) as error:
                    container.wait("CreateContainerConfigError", str(error))
                    is_news = True
            is_news |= self._is_contradicted()
            if is_news and not self.node.silent.is_set():
                is_news = not self._report()
            self.changed.wait(0.1)
            self.changed.clear()
        self._stop()

    def _stop(self) -> None:
        grace = 1 if self.is_gone else self.manifest["metadata"].get("deletionGracePeriodSeconds", 30)
        log("stopping", self.key, "grace", grace)
        for container in self.containers:
            container.signal(signal.SIGTERM)
        end = time.monotonic() + grace
        while time.monotonic() < end and any(container.is_running() for container in self.containers):
            time.sleep(0.05)
        for container in self.containers:
            container.signal(signal.SIGKILL)
            if container.process:
                container.ended(container.process.wait())
        while self.node.has_fault("terminate") or self.node.silent.is_set():
            time.sleep(0.2)
        if not self.is_gone:
            self._remove()
        shutil.rmtree(self.directory, ignore_errors=True)
        self.node.forget(self)
        log("removed", self.key)

    def _remove(self) -> None:
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}}
        try:
            self._report()
            self.node.api.call("DELETE", self.path, options)
        except CALL_ERRORS as error:
            log("delete", self.key, error)

    def _phase(self) -> str:
        restart = self.manifest["spec"].get("restartPolicy", "Always")
        ends = [container.terminated for container in self.containers if container.terminated]
        if len(ends) == len(self.containers) and (restart != "Always" or self.is_being_deleted()):
            return "Succeeded" if all(end["exitCode"] == 0 for end in ends) else "Failed"
        return "Running" if any(container.started_at for container in self.containers) else "Pending"

    def _conditions(self) -> list[Object]:
        ready = all(container.ready for container in self.containers)
        truth = {"PodReadyToStartContainers": True, "Initialized": True, "ContainersReady": ready, "Ready": ready, "PodScheduled": True}
        conditions = []
        for kind, value in truth.items():
            if kind not in self.since or self.since[kind][0] != value:
                self.since[kind] = (value, now())
            condition = {"type": kind, "status": str(value), "lastTransitionTime": self.since[kind][1]}
            conditions.append(condition if value else {**condition, "reason": "ContainersNotReady"})
        return conditions

    def _is_contradicted(self) -> bool:
        """Pods of a node that was silent for a while are set to be not ready by others."""
        ready = all(container.ready for container in self.containers)
        conditions = self.manifest.get("status", {}).get("conditions", [])
        return any(said["type"] == "Ready" and said["status"] != str(ready) for said in conditions)

    def _report(self) -> bool:
        """Writes the status; says whether that is done with."""
        host = self.node.options.address
        status = {
            "phase": self._phase(), "conditions": self._conditions(), "startTime": self.begun,
            "hostIP": host, "hostIPs": [{"ip": host}], "podIP": self.address, "podIPs": [{"ip": self.address}],
            "containerStatuses": [container.status() for container in self.containers]}
        try:
            self.node.api.merge(self.path + "/status", {"metadata": {"uid": self.uid}, "status": status})
        except ApiError as error:
            # Gone, or another pod of that name by now.
            if error.status not in (404, 409):
                log("status", self.key, error)
                return False
        except (OSError, http.client.HTTPException) as error:
            log("status", self.key, error)
            return False
        return True
