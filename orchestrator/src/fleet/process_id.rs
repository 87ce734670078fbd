//! Pure. Which process a consumer is, as its fleet tells, and how heartbeats are told to be of it.

use std::fmt;

use common::messages::event::Heartbeat;

/// A process of the fleet, alive or ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProcessId {
    /// On this machine.
    Pid(u32),
    /// On Kubernetes.
    Container(ContainerRun),
}

/// One run of a pod's container: whatever process of this pod began within it belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContainerRun {
    /// The pod's uid.
    pub pod: String,
    /// When it began, by the clock of its node, in milliseconds since 1970.
    pub from_ms: i64,
    /// The first moment at which a process cannot be of it any more; nothing while it runs.
    pub until_ms: Option<i64>,
}

impl ProcessId {
    /// Whether the incarnation that sent this lives, or lived, in it.
    pub fn is_of(&self, heartbeat: &Heartbeat) -> bool {
        match self {
            Self::Pid(pid) => heartbeat.pid == *pid,
            Self::Container(run) => {
                let began = heartbeat.process_started_ms;
                heartbeat.pod_uid.as_ref() == Some(&run.pod)
                    && began >= run.from_ms
                    && run.until_ms.is_none_or(|until| began < until)
            }
        }
    }

    /// Whether it is the same process, of which more may be known by now.
    pub fn is_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Container(own), Self::Container(its)) => {
                (&own.pod, own.from_ms) == (&its.pod, its.from_ms)
            }
            (own, its) => own == its,
        }
    }

    /// Its number, if it has one here.
    pub fn pid(&self) -> Option<u32> {
        match self {
            Self::Pid(pid) => Some(*pid),
            Self::Container(_) => None,
        }
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(pid) => write!(f, "process {pid}"),
            Self::Container(ContainerRun { pod, .. }) => write!(f, "pod {pod}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(pod: &str, from_ms: i64, until_ms: Option<i64>) -> ProcessId {
        ProcessId::Container(ContainerRun { pod: pod.into(), from_ms, until_ms })
    }

    /// Its end may be told when the next one of the same pod runs already.
    #[test]
    fn a_run_that_is_over_is_the_one_that_began_then_in_that_pod() {
        let running = run("a", 5_000, None);
        assert!(running.is_same_as(&run("a", 5_000, Some(9_000))));
        assert!(!running.is_same_as(&run("a", 1_000, Some(5_000))), "the one before");
        assert!(!running.is_same_as(&run("b", 5_000, Some(9_000))), "of another pod");
        assert!(!running.is_same_as(&ProcessId::Pid(1)));
    }
}
