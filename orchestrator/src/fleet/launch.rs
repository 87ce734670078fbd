//! Pure. The command line of a consumer process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::identity::ConsumerId;
use common::messages::service::DeploymentEntry;

/// Options of consumers that nobody else sets: with other values they would be other consumers.
pub const OWNED: [&str; 4] = ["consumer", "state-dir", "group-id", "topic-prefix"];

/// What all consumers are started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaunchSettings {
    pub program: PathBuf,
    /// Holds one folder for each consumer.
    pub folder: PathBuf,
    /// Those of [`OWNED`] that all have in common.
    pub owned: BTreeMap<String, String>,
    /// Further options, which a deployment may override.
    pub options: BTreeMap<String, String>,
}

/// A process to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    pub program: PathBuf,
    pub arguments: Vec<String>,
}

impl LaunchSettings {
    /// The folder of a consumer: its state, its log, its process.
    pub fn folder_of(&self, consumer: ConsumerId) -> PathBuf {
        self.folder.join(consumer.0.to_string())
    }

    pub fn launch(&self, consumer: ConsumerId, deployment: &DeploymentEntry) -> Launch {
        let folder = self.folder_of(consumer);
        let own = [
            ("consumer".to_owned(), consumer.0.to_string()),
            ("state-dir".to_owned(), folder.to_string_lossy().into_owned()),
        ];
        // The later wins.
        let options: BTreeMap<&String, &String> = self
            .options
            .iter()
            .chain(&deployment.options)
            .chain(&self.owned)
            .chain(own.iter().map(|(name, value)| (name, value)))
            .collect();
        let program = deployment.program.as_deref().map_or(self.program.as_path(), Path::new);
        let arguments = options.into_iter().flat_map(|(name, value)| {
            let flag = format!("--{name}");
            // A switch has no value.
            if value.is_empty() { vec![flag] } else { vec![flag, value.clone()] }
        });
        Launch { program: program.into(), arguments: arguments.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn a_deployment_overrides_options_but_not_who_the_consumer_is() {
        let settings = LaunchSettings {
            program: "/bin/consumer".into(),
            folder: "/state/consumers".into(),
            owned: map(&[("group-id", "g")]),
            options: map(&[("listen", "127.0.0.1:0"), ("ttl-secs", "10")]),
        };
        let deployment = DeploymentEntry {
            options: map(&[("ttl-secs", "20"), ("group-id", "h"), ("consumer", "9"), ("x", "")]),
            ..DeploymentEntry::default()
        };
        let launch = settings.launch(ConsumerId(3), &deployment);
        assert_eq!(launch.program, Path::new("/bin/consumer"));
        assert_eq!(
            launch.arguments.join(" "),
            "--consumer 3 --group-id g --listen 127.0.0.1:0 --state-dir /state/consumers/3 \
             --ttl-secs 20 --x"
        );
    }
}
