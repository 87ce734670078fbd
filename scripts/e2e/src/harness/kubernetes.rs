//! IO. A Kubernetes of `scripts/kubernetes.sh`: its parts may be broken, and each test has a namespace of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::process::Signal;

use super::process::signal_process;
use super::programs::{ProgramError, program, script};

/// The images of the manifests, and the programs that stand for them.
const IMAGES: [(&str, &str); 3] = [
    ("stowage/monitor", "monitor"),
    ("stowage/orchestrator", "orchestrator"),
    ("stowage/consumer", "consumer"),
];

/// More than any test asks for.
const NODES_MAX: u32 = 3;

#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    #[error("{program} cannot be run")]
    Run {
        program: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("{program} {} failed: {said}", arguments.join(" "))]
    Failed { program: &'static str, arguments: Vec<String>, said: String },
    #[error("a program of the system is missing")]
    Program {
        #[source]
        source: ProgramError,
    },
    #[error("{} cannot be written", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} cannot be read", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{process} cannot be signalled")]
    Signal {
        process: String,
        #[source]
        source: io::Error,
    },
}

/// What a test kubelet does wrong while it is asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeFault {
    /// Claims stay unbound; only node 1 provisions.
    Provision,
    /// Images cannot be pulled.
    Image,
    /// Pods hang in Terminating.
    Terminate,
}

impl NodeFault {
    fn file(self) -> &'static str {
        match self {
            Self::Provision => "provision",
            Self::Image => "image",
            Self::Terminate => "terminate",
        }
    }
}

/// A running control plane and its nodes.
#[derive(Debug)]
pub struct Cluster {
    run: PathBuf,
    /// Whether it ends with this value.
    is_own: bool,
}

impl Cluster {
    /// The one that is running already; its services' images are the programs of this workspace.
    pub fn at(kubeconfig: &Path) -> Result<Self, KubernetesError> {
        let run = kubeconfig.parent().unwrap_or(Path::new(".")).to_owned();
        let cluster = Self { run, is_own: false };
        cluster.offer_programs()?;
        Ok(cluster)
    }

    /// One for a test that breaks it. Dropping it stops it and removes its data.
    pub fn start(run: &Path, nodes: u32) -> Result<Self, KubernetesError> {
        let cluster = Self { run: run.into(), is_own: true };
        let nodes = nodes.to_string();
        cluster.script("up", &[], &[("KUBE_PORT", "auto"), ("KUBE_NODES", &nodes)])?;
        cluster.offer_programs()?;
        Ok(cluster)
    }

    /// An administrator's.
    pub fn kubeconfig(&self) -> PathBuf {
        self.run.join("admin.kubeconfig")
    }

    /// Runs kubectl as an administrator, and returns what it prints.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, KubernetesError> {
        kubectl(&self.kubeconfig(), arguments, "")
    }

    /// The same, with `input` on standard input (`-f -`).
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<String, KubernetesError> {
        kubectl(&self.kubeconfig(), arguments, input)
    }

    /// A namespace like those of the manifests: pod security `restricted` is enforced. Dropping it
    /// removes it with all that is in it.
    pub fn namespace(&self, name: &str) -> Result<Namespace<'_>, KubernetesError> {
        self.kubectl(&["create", "namespace", name])?;
        let namespace = Namespace { cluster: self, name: name.into() };
        let level = "pod-security.kubernetes.io/enforce=restricted";
        self.kubectl(&["label", "namespace", name, level])?;
        Ok(namespace)
    }

    /// Lets a program stand for an image, from the next start of a container on.
    pub fn offer(&self, image: &str, program: &[&str]) -> Result<(), KubernetesError> {
        // Tests of one process offer side by side.
        static OFFER: Mutex<()> = Mutex::new(());
        let _alone = OFFER.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.run.join("images.json");
        let failed = |source| KubernetesError::Write { path: path.clone(), source };
        let text = fs::read(&path).unwrap_or_else(|_| b"{}".into());
        let mut images: BTreeMap<String, Vec<String>> =
            serde_json::from_slice(&text).map_err(|source| failed(source.into()))?;
        images.insert(image.into(), program.iter().map(|&word| word.to_owned()).collect());
        let text = serde_json::to_vec(&images).map_err(|source| failed(source.into()))?;
        let staged = self.run.join("images.new");
        fs::write(&staged, text).and_then(|()| fs::rename(&staged, &path)).map_err(failed)
    }

    /// A node falls silent while its pods' processes live on, until `wake`.
    pub fn silence(&self, node: u32) -> Result<(), KubernetesError> {
        self.signal(&format!("kubelet-{node}"), Signal::USR1)
    }

    pub fn wake(&self, node: u32) -> Result<(), KubernetesError> {
        self.signal(&format!("kubelet-{node}"), Signal::USR2)
    }

    /// Begins or ends a fault of a node.
    pub fn set_fault(&self, node: u32, fault: NodeFault, on: bool) -> Result<(), KubernetesError> {
        let path = self.run.join(format!("nodes/node-{node}/faults/{}", fault.file()));
        let done = if on { fs::write(&path, "") } else { fs::remove_file(&path) };
        done.map_err(|source| KubernetesError::Write { path, source })
    }

    /// Signals a process of the control plane or a kubelet: `etcd`, `kube-apiserver`, `kubelet-1` …
    pub fn signal(&self, process: &str, signal: Signal) -> Result<(), KubernetesError> {
        let pid = fs::read_to_string(self.run.join("pids").join(process));
        let pid = pid.and_then(|text| text.trim().parse().map_err(io::Error::other));
        let sent = pid.and_then(|pid| signal_process(pid, signal));
        sent.map_err(|source| KubernetesError::Signal { process: process.into(), source })
    }

    /// Starts what was killed, and waits until all is ready.
    pub fn start_again(&self) -> Result<(), KubernetesError> {
        self.script("up", &[], &[])
    }

    /// The programs that run as containers on a node, by their process ids.
    pub fn processes(&self, node: u32) -> Vec<u32> {
        let pid = fs::read_to_string(self.run.join(format!("pids/kubelet-{node}")));
        let tasks = pid.map(|pid| format!("/proc/{}/task", pid.trim()));
        let tasks = tasks.and_then(fs::read_dir).into_iter().flatten().flatten();
        let children =
            tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        let mut found = Vec::new();
        for line in children {
            found.extend(line.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        found
    }

    /// The process of the container of a pod, whose manifest tells it its name as `POD_NAME`.
    pub fn process_of(&self, pod: &str) -> Option<u32> {
        let told = format!("POD_NAME={pod}");
        let is_of = |pid: &u32| {
            let told_to = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            told_to.split(|byte| *byte == 0).any(|variable| variable == told.as_bytes())
        };
        (1..=NODES_MAX).flat_map(|node| self.processes(node)).find(is_of)
    }

    /// The API server's record of what service accounts asked for, a line of JSON each.
    pub fn audit_log(&self) -> Result<String, KubernetesError> {
        let path = self.run.join("logs/audit.log");
        fs::read_to_string(&path).map_err(|source| KubernetesError::Read { path, source })
    }

    fn offer_programs(&self) -> Result<(), KubernetesError> {
        for (image, name) in IMAGES {
            let path = program(name).map_err(|source| KubernetesError::Program { source })?;
            self.offer(image, &[&path.to_string_lossy()])?;
        }
        Ok(())
    }

    fn script(
        &self,
        command: &str,
        options: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<(), KubernetesError> {
        let mut script = Command::new(script("kubernetes.sh"));
        for name in ["KUBE_PORT", "KUBE_NODES", "KUBE_IMAGES", "KUBE_KUBELET"] {
            script.env_remove(name);
        }
        script.env("KUBE_RUN", &self.run).envs(variables.iter().copied());
        script.arg(command).args(options).stdin(Stdio::null());
        let output = script.output();
        let arguments: Vec<&str> = [&[command], options].concat();
        said("kubernetes.sh", &arguments, output).map(drop)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.is_own {
            // Nobody is left to be told.
            let _ = self.script("down", &["--wipe"], &[]);
        }
    }
}

/// A namespace of one test.
#[derive(Debug)]
pub struct Namespace<'a> {
    cluster: &'a Cluster,
    name: String,
}

impl Namespace<'_> {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs kubectl in this namespace, as an administrator.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, KubernetesError> {
        self.kubectl_with(arguments, "")
    }

    /// The same, with `input` on standard input (`-f -`).
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<String, KubernetesError> {
        let arguments = [&["--namespace", &self.name], arguments].concat();
        self.cluster.kubectl_with(&arguments, input)
    }

    /// A kubeconfig of a service account of this namespace, in `folder`, with a token of its own.
    pub fn kubeconfig_of(&self, account: &str, folder: &Path) -> Result<PathBuf, KubernetesError> {
        let token = self.kubectl(&["create", "token", account])?;
        let path = folder.join(format!("{}-{account}.kubeconfig", self.name));
        let failed = |source| KubernetesError::Write { path: path.clone(), source };
        fs::copy(self.cluster.kubeconfig(), &path).map_err(failed)?;
        let config = |words: &[&str]| kubectl(&path, &[&["config"], words].concat(), "");
        config(&["set-credentials", "local", &format!("--token={}", token.trim())])?;
        config(&["set-context", "local", &format!("--namespace={}", self.name)])?;
        Ok(path)
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        // Not waited for: that takes seconds, and the next test has another name.
        let _ = self.cluster.kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}

/// Runs kubectl with any kubeconfig; `input` goes to its standard input.
pub fn kubectl(
    kubeconfig: &Path,
    arguments: &[&str],
    input: &str,
) -> Result<String, KubernetesError> {
    let mut command = Command::new("kubectl");
    command.env("KUBECONFIG", kubeconfig).args(arguments);
    // What an earlier cluster at the same port could do must not be remembered.
    command.env("KUBECACHEDIR", kubeconfig.with_file_name("cache"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.spawn().and_then(|mut child| {
        let stdin = child.stdin.take();
        // It may end without having read all of it, and says why itself.
        let _ = stdin.map(|mut stdin| stdin.write_all(input.as_bytes()));
        child.wait_with_output()
    });
    said("kubectl", arguments, output)
}

fn said(
    program: &'static str,
    arguments: &[&str],
    output: io::Result<Output>,
) -> Result<String, KubernetesError> {
    let output = output.map_err(|source| KubernetesError::Run { program, source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let arguments = arguments.iter().map(|&word| word.to_owned()).collect();
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(KubernetesError::Failed { program, arguments, said })
}
