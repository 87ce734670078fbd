"""Volumes: a claim of our storage class gets a directory, and a released volume goes away with its directory."""

import os
import shutil
import threading
import time

from .api import Api, ApiError, Object, log
from .node import Node

PROVISIONER = "stowage.dev/local-directory"
VOLUMES = "/api/v1/persistentvolumes"
MADE_BY = "pv.kubernetes.io/provisioned-by"
WANTED_FROM = "volume.kubernetes.io/storage-provisioner"


class Provisioner:
    """Makes volumes below a node's directory, for the whole cluster."""

    def __init__(self, api: Api, node: Node) -> None:
        self.api, self.node = api, node
        self.waiting: dict[str, Object] = {}

    def run(self) -> None:
        for follow in (self._follow_claims, self._follow_volumes):
            threading.Thread(target=follow, daemon=True).start()
        while True:
            time.sleep(0.5)
            for uid, claim in list(self.waiting.items()):
                if self._make(claim):
                    self.waiting.pop(uid, None)

    def _follow_claims(self) -> None:
        for kind, claims in self.api.watch("/api/v1/persistentvolumeclaims", "", self.node.silent):
            for claim in claims:
                uid = claim["metadata"]["uid"]
                self.waiting.pop(uid, None)
                if kind != "DELETED" and not self._make(claim):
                    self.waiting[uid] = claim

    def _follow_volumes(self) -> None:
        for kind, volumes in self.api.watch(VOLUMES, "", self.node.silent):
            for volume in volumes:
                is_ours = volume["metadata"].get("annotations", {}).get(MADE_BY) == PROVISIONER
                if is_ours and kind != "DELETED" and volume.get("status", {}).get("phase") == "Released":
                    self._reclaim(volume)

    def _make(self, claim: Object) -> bool:
        """Says whether the claim is done with."""
        meta, spec = claim["metadata"], claim["spec"]
        if meta.get("annotations", {}).get(WANTED_FROM) != PROVISIONER or spec.get("volumeName"):
            return True
        if self.node.has_fault("provision"):
            return False
        name = "pvc-" + meta["uid"]
        path = os.path.join(self.node.root, "volumes", f"{meta['namespace']}_{meta['name']}_{name}")
        os.makedirs(path, exist_ok=True)
        owner = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **{key: meta[key] for key in ("namespace", "name", "uid")}}
        try:
            self.api.create(VOLUMES, {
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name, "annotations": {MADE_BY: PROVISIONER}},
                "spec": {
                    "capacity": {"storage": spec["resources"]["requests"]["storage"]}, "accessModes": spec["accessModes"],
                    "persistentVolumeReclaimPolicy": "Delete", "storageClassName": spec["storageClassName"],
                    "hostPath": {"path": path}, "claimRef": owner}})
            log("provisioned", meta["namespace"], meta["name"])
        except ApiError as error:
            log("provision", error)
        return True

    def _reclaim(self, volume: Object) -> None:
        shutil.rmtree(volume["spec"]["hostPath"]["path"], ignore_errors=True)
        try:
            self.api.call("DELETE", f"{VOLUMES}/{volume['metadata']['name']}")
        except ApiError as error:
            if error.status != 404:
                log("reclaim", error)
