//! IO. The flags of the fleet on Kubernetes.

use std::time::Duration;

use clap::Args;

/// What only concerns `--fleet kubernetes`.
#[derive(Args, Clone, Debug)]
pub struct KubernetesArgs {
    /// Kubernetes: namespace of the consumers; that of the service account unless given
    #[arg(long, env, hide_env_values = true, value_name = "NAME")]
    pub namespace: Option<String>,

    /// Kubernetes: ConfigMap that stands for the group: consumers vanish with it, Events and annotations
    /// (stowage.dev/paused, …) are on it
    #[arg(long, env, hide_env_values = true, value_name = "NAME", default_value = "stowage-group")]
    pub group_object: String,

    /// Kubernetes: ConfigMap with pod-template.yaml and volume-claim.yaml, which say what consumers are like
    #[arg(
        long,
        env,
        hide_env_values = true,
        value_name = "NAME",
        default_value = "stowage-consumer-template"
    )]
    pub template: String,

    /// Kubernetes: Lease whose holder may lead
    #[arg(
        long,
        env,
        hide_env_values = true,
        value_name = "NAME",
        default_value = "stowage-orchestrator"
    )]
    pub lease: String,

    /// Kubernetes: for so long the volume of a consumer is kept that was removed
    #[arg(long, env, hide_env_values = true, value_name = "SECONDS", default_value_t = 3_600)]
    pub volume_keep_secs: u64,
}

impl KubernetesArgs {
    pub fn volume_keep(&self) -> Duration {
        Duration::from_secs(self.volume_keep_secs)
    }
}
