"""One container: a process that is started, probed, started again and stopped."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

from .api import Object, log, now
from .text import Mount, expand, quote, relocate

if TYPE_CHECKING:
    from .pod import Pod

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
# What of the kubelet's own environment a process needs.
INHERITED = ("PATH", "LANG", "TZ")
PAUSE_MAX = 300.0
# Who ran for so long is not thought to crash at once again.
STEADY_AFTER = 600.0


class NotYet(Exception):
    """The container cannot start yet; reason and message go into its status."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Probe:
    """One probe and how it went so far."""

    def __init__(self, spec: Object, began: float) -> None:
        self.spec = spec
        self.next = began + spec.get("initialDelaySeconds", 0)
        self.good = self.bad = 0

    def is_due(self) -> bool:
        return time.monotonic() >= float(self.next)

    def count(self, good: bool) -> None:
        self.next = time.monotonic() + self.spec.get("periodSeconds", 10)
        self.good, self.bad = (self.good + 1, 0) if good else (0, self.bad + 1)

    def passed(self) -> bool:
        return bool(self.good >= self.spec.get("successThreshold", 1))

    def failed(self) -> bool:
        return bool(self.bad >= self.spec.get("failureThreshold", 3))


class Container:
    """A container of a pod, from waiting to running to terminated and back."""

    def __init__(self, pod: "Pod", spec: Object) -> None:
        self.pod, self.spec, self.name = pod, spec, str(spec["name"])
        self.process: subprocess.Popen[bytes] | None = None
        self.restarts = 0
        self.began = self.again_at = 0.0
        self.pause = pod.node.options.backoff
        self.started_at: str | None = None
        self.waiting: tuple[str, str] | None = ("ContainerCreating", "")
        self.terminated: Object | None = None
        self.last: Object | None = None
        self.started = self.ready = False
        self.probes: dict[str, Probe] = {}
        self.log = os.path.join(pod.node.root, "logs", f"{pod.namespace}_{pod.name}_{self.name}.log")
        with open(self.log, "wb"):
            pass

    def step(self, restart: str) -> bool:
        """Starts, watches, probes, restarts; says whether something changed that the status shows."""
        before = self._shown()
        if self.process and (code := self.process.poll()) is not None:
            self.ended(code)
            if restart == "Always" or (restart == "OnFailure" and code != 0):
                self._start_again_later()
        if not self.process and not self.terminated and time.monotonic() >= self.again_at:
            try:
                self._start()
            except NotYet as why:
                self.wait(why.reason, str(why))
        if self.process:
            self._probe()
        return before != self._shown()

    def wait(self, reason: str, message: str) -> None:
        self.waiting, self.again_at = (reason, message), time.monotonic() + 1

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ended(self, code: int) -> None:
        assert self.process
        self.terminated = {
            "exitCode": 128 - code if code < 0 else code, "reason": "Error" if code else "Completed",
            "startedAt": self.started_at, "finishedAt": now(), "containerID": self._identity()}
        if code < 0:
            self.terminated["signal"] = -code
        self.process, self.ready, self.started = None, False, False
        log("ended", self.pod.key, self.name, "code", code)

    def signal(self, which: signal.Signals) -> None:
        """SIGKILL goes to all that the process started, anything else to the process alone."""
        if self.process and self.is_running():
            try:
                if which == signal.SIGKILL:
                    os.killpg(self.process.pid, which)
                else:
                    self.process.send_signal(which)
            except ProcessLookupError:
                pass

    def status(self) -> Object:
        if self.terminated:
            state: Object = {"terminated": self.terminated}
        elif self.process:
            state = {"running": {"startedAt": self.started_at}}
        else:
            reason, message = self.waiting or ("", "")
            state = {"waiting": {"reason": reason, "message": message}}
        status = {
            "name": self.name, "image": self.spec["image"], "imageID": "process://" + self.spec["image"],
            "ready": self.ready, "started": self.started, "restartCount": self.restarts, "state": state,
            "containerID": self._identity() if self.process or self.terminated else ""}
        if self.last:
            status["lastState"] = {"terminated": self.last}
        return status

    def _shown(self) -> tuple[object, ...]:
        return (self.ready, self.started, self.restarts, self.waiting, bool(self.terminated), bool(self.process))

    def _identity(self) -> str:
        return f"process://{self.pod.uid}-{self.name}-{self.restarts}"

    def _start_again_later(self) -> None:
        ran = time.monotonic() - self.began
        self.pause = self.pod.node.options.backoff if ran > STEADY_AFTER else self.pause
        self.again_at = time.monotonic() + (self.pause if self.restarts else 0)
        self.pause = min(self.pause * 2, PAUSE_MAX)
        self.restarts += 1
        self.last, self.terminated = self.terminated, None
        self.waiting = ("CrashLoopBackOff", "back-off restarting failed container")

    def _start(self) -> None:
        env = self.pod.environment(self.spec)
        argv = self._command(env)
        mounts = [(str(mount["mountPath"]), self.pod.volume(mount)) for mount in self.spec.get("volumeMounts", [])]
        directory = str(self.spec.get("workingDir") or self.pod.directory)
        if self.pod.node.options.namespaces:
            argv = bind_mounts(mounts) + argv
        else:
            if (account := dict(mounts).get(ACCOUNT)) and "KUBECONFIG" not in env:
                env["KUBECONFIG"] = self.pod.kubeconfig(account)
            argv = [relocate(word, mounts) for word in argv]
            env = {name: relocate(value, mounts) for name, value in env.items()}
            directory = relocate(directory, mounts)
        os.makedirs(directory, exist_ok=True)
        self._spawn(argv, env, directory)
        log("started", self.pod.key, self.name, "pid", self.process.pid if self.process else 0)

    def _command(self, env: dict[str, str]) -> list[str]:
        image, command = str(self.spec["image"]), self.spec.get("command")
        program = self.pod.node.image(image)
        if self.pod.node.has_fault("image") or (program is None and not command):
            raise NotYet("ErrImagePull", f"no such image: {image}")
        argv = list(command or program or []) + list(self.spec.get("args") or [])
        return [expand(word, env) for word in argv]

    def _spawn(self, argv: list[str], env: dict[str, str], directory: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if name in INHERITED}
        env = {**inherited, "HOSTNAME": self.pod.name, **env}
        if shutil.which("setpriv"):  # no container outlives its kubelet, even a killed one
            argv = ["setpriv", "--pdeathsig", "KILL", *argv]
        with open(self.log, "ab") as output:
            try:
                self.process = subprocess.Popen(
                    argv, env=env, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                    start_new_session=True)
            except OSError as error:
                raise NotYet("RunContainerError", str(error)) from error
        # As with container runtimes the time is taken after the start: the process may have read an earlier one.
        self.started_at, self.waiting, self.terminated = now(), None, None
        self.began = time.monotonic()
        self.started = "startupProbe" not in self.spec
        self.ready = self.started and "readinessProbe" not in self.spec
        kinds = [kind for kind in ("startupProbe", "readinessProbe", "livenessProbe") if kind in self.spec]
        self.probes = {kind: Probe(self.spec[kind], self.began) for kind in kinds}

    def _probe(self) -> None:
        for kind, probe in self.probes.items():
            is_startup = kind == "startupProbe"
            if is_startup == self.started or not probe.is_due():
                continue
            probe.count(self._check(probe.spec))
            if kind == "readinessProbe":
                self.ready = probe.passed() or (self.ready and not probe.failed())
            elif is_startup and probe.passed():
                self.started = True
                self.ready = "readinessProbe" not in self.spec
            elif probe.failed():
                log("probe failed, killing", self.pod.key, self.name, kind)
                self.signal(signal.SIGKILL)

    def _check(self, probe: Object) -> bool:
        timeout = probe.get("timeoutSeconds", 1)
        try:
            if "exec" in probe:
                return subprocess.run(probe["exec"]["command"], timeout=timeout, capture_output=True).returncode == 0
            action = probe.get("httpGet") or probe["tcpSocket"]
            address = (str(action.get("host") or self.pod.address), self._port(action["port"]))
            if "tcpSocket" in probe:
                socket.create_connection(address, timeout).close()
                return True
            link = http.client.HTTPConnection(*address, timeout=timeout)
            headers = {header["name"]: header["value"] for header in action.get("httpHeaders", [])}
            link.request("GET", action.get("path", "/"), headers=headers)
            return 200 <= link.getresponse().status < 400
        except (OSError, http.client.HTTPException, subprocess.SubprocessError, StopIteration):
            return False

    def _port(self, port: int | str) -> int:
        if isinstance(port, str):
            return next(int(given["containerPort"]) for given in self.spec["ports"] if given.get("name") == port)
        return port


def bind_mounts(mounts: list[Mount]) -> list[str]:
    """What runs the rest of a command line where each volume is mounted at its path."""
    lines = []
    for path, real in mounts:
        at, folder = quote(path), quote(path if os.path.isdir(real) else os.path.dirname(path))
        lines.append(f"mkdir -p {folder} && {{ [ -e {at} ] || : >{at}; }} && mount --bind {quote(real)} {at} || exit 125\n")
    return ["unshare", "--mount", "sh", "-c", "".join(lines) + 'exec "$@"', "sh"]
