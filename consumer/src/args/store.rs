//! IO. The flags that say where tables and schemas are.

use std::env;
use std::path::{Path, PathBuf};

use clap::Args;
use common::settings::{Settings, SettingsFileError, read_settings};
use url::Url;

use crate::schema_registry::settings::RegistrySettings;
use crate::sink::store::is_option;

/// What variables of the environment that concern stores begin with.
const STORE_VARIABLES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

/// Where tables are.
#[derive(Args, Clone, Debug, Default)]
pub struct StoreArgs {
    /// Where tables are: `file:///FOLDER` (or s3://, gs://, az://); without it only `discard` works
    #[arg(long, env, hide_env_values = true, value_name = "URL")]
    pub sink_url: Option<Url>,

    /// File with settings of the store behind --sink-url, a `key=value` a line, in object_store's words
    /// (aws_region, aws_endpoint, …); `aws_secret_access_key.file=PATH` reads a secret from a file.
    /// Variables of the environment that begin with AWS_, GOOGLE_ or AZURE_ count, too; the file wins
    #[arg(long, env, hide_env_values = true, value_name = "FILE", requires = "sink_url")]
    pub sink_config: Option<PathBuf>,
}

/// Where schemas are.
#[derive(Args, Clone, Debug, Default)]
pub struct RegistryArgs {
    /// Schema registry of the records that name their schemas by id
    #[arg(long, env, hide_env_values = true, value_name = "URL")]
    pub schema_registry_url: Option<Url>,

    /// File with settings of the schema registry, a `key=value` a line, in the words of Confluent's clients:
    /// basic.auth.user.info, bearer.auth.token, ssl.ca.location, ssl.certificate.location, ssl.key.location;
    /// `KEY.file=PATH` reads a secret from a file
    #[arg(
        long,
        env,
        hide_env_values = true,
        value_name = "FILE",
        requires = "schema_registry_url"
    )]
    pub schema_registry_config: Option<PathBuf>,
}

impl StoreArgs {
    /// What the environment says of the store behind the sink's URL, and the file, which wins.
    ///
    /// # Errors
    /// If the file cannot be read or understood.
    pub fn options(&self) -> Result<Settings, SettingsFileError> {
        store_options(self.sink_url.as_ref(), self.sink_config.as_deref())
    }
}

impl RegistryArgs {
    /// How to reach the schema registry, if one was named.
    ///
    /// # Errors
    /// If the file cannot be read or understood.
    pub fn settings(&self) -> anyhow::Result<Option<RegistrySettings>> {
        let Some(url) = &self.schema_registry_url else { return Ok(None) };
        let settings = match &self.schema_registry_config {
            Some(file) => read_settings("schema registry", file, |_| None)?,
            None => Settings::new(),
        };
        Ok(Some(RegistrySettings::new(url.clone(), &settings)?))
    }
}

/// What the environment says of the store at `url`, and the file, which wins.
pub(crate) fn store_options(
    url: Option<&Url>,
    file: Option<&Path>,
) -> Result<Settings, SettingsFileError> {
    let Some(url) = url else { return Ok(Settings::new()) };
    let given = env::vars_os().filter_map(|(key, value)| {
        let (key, value) = (key.into_string().ok()?, value.into_string().ok()?);
        let is_meant = STORE_VARIABLES.iter().any(|prefix| key.starts_with(prefix));
        let key = key.to_ascii_lowercase();
        (is_meant && is_option(url, &key)).then_some((key, value))
    });
    let mut options: Settings = given.collect();
    if let Some(file) = file {
        options.extend(read_settings("sink", file, |_| None)?);
    }
    Ok(options)
}
