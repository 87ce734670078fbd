"""A kubelet for tests: pods become processes of this machine. Standard library only, no root, no container engine.

It is a test double. It registers one Node and keeps its Lease fresh, runs the containers of every Pod that is bound to
it as child processes, probes them, reports their status, and stops them as a kubelet does: SIGTERM, grace period,
SIGKILL, then the Pod is removed. One of them also plays the volume provisioner: a claim of its storage class becomes a
directory.

What stands in for a container
  image        looked up in a JSON file, image -> program or [program, argument, ...]; read anew at each start
  file system  the machine's. A mountPath in the environment or the arguments is replaced by the volume's directory; with
               --namespaces (root) each container gets bind mounts in a mount namespace of its own
  API access   KUBECONFIG of the pod's service account; with --namespaces the usual files at the usual place
  network      the machine's. Each pod has a loopback address of its own: bind to the downward API's status.podIP

What it is not: no init or sidecar containers, preStop hooks, security contexts, limits of resources, exec,
port-forwarding or Services; after a restart of its own it starts pods anew. Back-off after a crash begins with 1 s, not
with 10.

Faults that a test may throw
  SIGUSR1      the node goes silent while its processes live on, a real zombie; SIGUSR2 brings it back
  ROOT/faults/provision, ROOT/faults/image, ROOT/faults/terminate
               while such a file exists, claims stay unprovisioned, images cannot be pulled, pods hang in Terminating
"""
