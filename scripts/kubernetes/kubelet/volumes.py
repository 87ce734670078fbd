"""The volumes of a pod as directories, and what ConfigMaps and Secrets hold."""

import base64
import os
from typing import TYPE_CHECKING

from .api import Object
from .container import NotYet

if TYPE_CHECKING:
    from .pod import Pod

# How a source of files or variables names its ConfigMap or Secret.
REFERENCES = {
    "configMapRef": "configmaps", "configMapKeyRef": "configmaps", "configMap": "configmaps",
    "secretRef": "secrets", "secretKeyRef": "secrets", "secret": "secrets"}


def reference(source: Object) -> tuple[str, str, bool]:
    """Which kind of object is meant, its name, and whether it may be missing."""
    kind = next(kind for kind in REFERENCES if kind in source)
    meant = source[kind]
    return REFERENCES[kind], str(meta_name(meant)), bool(meant.get("optional"))


def meta_name(meant: Object) -> object:
    return meant.get("name") or meant.get("secretName")


def keys(pod: "Pod", kind: str, name: str, is_optional: bool) -> dict[str, bytes]:
    """The content of a ConfigMap or Secret."""
    found = pod.node.api.find(f"/api/v1/namespaces/{pod.namespace}/{kind}/{name}")
    if found is None:
        if is_optional:
            return {}
        raise NotYet("CreateContainerConfigError", f'{kind} "{name}" not found')
    data, coded = found.get("data") or {}, found.get("binaryData") or {}
    if kind == "secrets":
        data, coded = {}, data
    plain = {key: str(value).encode() for key, value in data.items()}
    return {**plain, **{key: base64.b64decode(value) for key, value in coded.items()}}


class Volumes:
    """The volumes of one pod, made and filled when a container first starts, and filled anew at each start."""

    def __init__(self, pod: "Pod") -> None:
        self.pod = pod

    def path(self, mount: Object) -> str:
        """The real directory (or, with a subPath, perhaps file) behind a volumeMount."""
        spec = next(volume for volume in self.pod.manifest["spec"]["volumes"] if volume["name"] == mount["name"])
        if "hostPath" in spec:
            target = str(spec["hostPath"]["path"])
        elif "persistentVolumeClaim" in spec:
            target = self._claim(spec["persistentVolumeClaim"]["claimName"])
        else:
            target = os.path.join(self.pod.directory, "volumes", mount["name"])
            os.makedirs(target, exist_ok=True)
            for source in spec["projected"]["sources"] if "projected" in spec else [spec]:
                self._write(target, self._files(source))
        target = os.path.join(target, mount["subPath"]) if "subPath" in mount else target
        if not os.path.exists(target):
            os.makedirs(target)
        return target

    def _write(self, target: str, files: dict[str, bytes]) -> None:
        for path, data in files.items():
            full = os.path.join(target, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "wb") as file:
                file.write(data)

    def _claim(self, name: str) -> str:
        api = self.pod.node.api
        claim = api.get(f"/api/v1/namespaces/{self.pod.namespace}/persistentvolumeclaims/{name}")
        if claim.get("status", {}).get("phase") != "Bound":
            raise NotYet("ContainerCreating", f"claim {name} is not bound")
        volume = api.get(f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}")["spec"]
        return str((volume.get("hostPath") or volume["local"])["path"])

    def _files(self, source: Object) -> dict[str, bytes]:
        if "serviceAccountToken" in source:
            return self._token(source["serviceAccountToken"])
        if "downwardAPI" in source:
            items = source["downwardAPI"].get("items", [])
            return {item["path"]: self.pod.field(item["fieldRef"]["fieldPath"]).encode() for item in items if "fieldRef" in item}
        if not any(kind in source for kind in ("configMap", "secret")):
            return {}
        data = keys(self.pod, *reference(source))
        items = (source.get("configMap") or source["secret"]).get("items")
        return {item["path"]: data[item["key"]] for item in items if item["key"] in data} if items else data

    def _token(self, source: Object) -> dict[str, bytes]:
        pod = self.pod
        account = pod.manifest["spec"].get("serviceAccountName", "default")
        bound = {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid}
        spec: Object = {"expirationSeconds": source.get("expirationSeconds", 3600), "boundObjectRef": bound}
        if "audience" in source:
            spec["audiences"] = [source["audience"]]
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = pod.node.api.call("POST", f"/api/v1/namespaces/{pod.namespace}/serviceaccounts/{account}/token", request)
        return {str(source["path"]): str(answer["status"]["token"]).encode()}
