//! IO. The flags that say where BigQuery is, and who asks it.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use url::Url;

use crate::sink::bigquery::client::{BigQueryOptions, Credentials};

/// What the service's other clients read as well.
const CREDENTIALS_VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
const METADATA_VARIABLE: &str = "GCE_METADATA_HOST";
/// Where `gcloud auth application-default login` writes, under the home folder.
const GCLOUD_FILE: &str = ".config/gcloud/application_default_credentials.json";

/// Where tables of BigQuery are.
#[derive(Args, Clone, Debug, Default)]
pub struct BigQueryArgs {
    /// Project on Google Cloud whose dataset holds the tables of the sink `bigquery`
    #[arg(
        long,
        env,
        hide_env_values = true,
        value_name = "PROJECT",
        requires = "bigquery_dataset"
    )]
    pub bigquery_project: Option<String>,

    /// Dataset that holds the tables; it has to be there
    #[arg(
        long,
        env,
        hide_env_values = true,
        value_name = "DATASET",
        requires = "bigquery_project"
    )]
    pub bigquery_dataset: Option<String>,

    /// Who asks BigQuery: a file (the key of a service account, what gcloud's login left, or the
    /// configuration of a workload identity pool); `default` for the file that GOOGLE_APPLICATION_CREDENTIALS
    /// names, else gcloud's, else the account of the machine or pod; `none` for emulators
    #[arg(long, env, hide_env_values = true, value_name = "FILE", default_value = "default")]
    pub bigquery_credentials: String,

    /// Address of BigQuery's REST interface, up to and with /bigquery/v2, for emulators and private endpoints
    #[arg(long, env, hide_env_values = true, value_name = "URL", value_parser = parse_url)]
    pub bigquery_rest_url: Option<Url>,

    /// Address of BigQuery's Storage Write API, for emulators and private endpoints; http:// is not encrypted
    #[arg(long, env, hide_env_values = true, value_name = "URL", value_parser = parse_url)]
    pub bigquery_grpc_url: Option<Url>,

    /// Where queries run, such as `europe-west3`; BigQuery finds out by itself unless its addresses are private
    #[arg(long, env, hide_env_values = true, value_name = "LOCATION")]
    pub bigquery_location: Option<String>,
}

impl BigQueryArgs {
    /// How to reach BigQuery, if a dataset was named.
    pub fn options(&self) -> Option<BigQueryOptions> {
        let (project, dataset) = (self.bigquery_project.as_ref()?, self.bigquery_dataset.as_ref()?);
        let credentials = self.credentials(|name| env::var_os(name));
        Some(BigQueryOptions {
            rest_url: self.bigquery_rest_url.clone(),
            grpc_url: self.bigquery_grpc_url.clone(),
            location: self.bigquery_location.clone(),
            ..BigQueryOptions::new(project, dataset, credentials)
        })
    }

    fn credentials(&self, variable: impl Fn(&str) -> Option<OsString>) -> Credentials {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        match self.bigquery_credentials.as_str() {
            "none" => Credentials::None,
            "default" => {
                let gcloud = || {
                    let path = Path::new(&variable("HOME")?).join(GCLOUD_FILE);
                    path.exists().then_some(path)
                };
                let host = || variable(METADATA_VARIABLE)?.into_string().ok();
                variable(CREDENTIALS_VARIABLE)
                    .map(PathBuf::from)
                    .or_else(gcloud)
                    .map_or_else(|| Credentials::Metadata { host: host() }, Credentials::File)
            }
            file => Credentials::File(file.into()),
        }
    }
}

fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok();
    url.filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host())
        .ok_or_else(|| "expected an address that begins with http:// or https://".into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn chosen(credentials: &str, variables: &[(&str, &str)]) -> Credentials {
        let args = BigQueryArgs { bigquery_credentials: credentials.into(), ..Default::default() };
        args.credentials(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.into())
        })
    }

    #[test]
    fn the_default_is_the_first_that_is_there() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().to_str().unwrap();
        let variables =
            [("HOME", folder), (CREDENTIALS_VARIABLE, "/k.json"), (METADATA_VARIABLE, "m:1")];
        assert_eq!(chosen("default", &variables), Credentials::File("/k.json".into()));
        let host = Some("m:1".into());
        let without = [variables[0], (CREDENTIALS_VARIABLE, ""), variables[2]];
        assert_eq!(chosen("default", &without), Credentials::Metadata { host });
        let gcloud = home.path().join(GCLOUD_FILE);
        fs::create_dir_all(gcloud.parent().unwrap()).unwrap();
        fs::write(&gcloud, "{}").unwrap();
        assert_eq!(chosen("default", &without), Credentials::File(gcloud));
        assert_eq!(chosen("default", &[]), Credentials::Metadata { host: None });
    }

    #[test]
    fn what_is_said_is_taken() {
        let variables = [(CREDENTIALS_VARIABLE, "/k.json")];
        assert_eq!(chosen("none", &variables), Credentials::None);
        assert_eq!(chosen("./none", &variables), Credentials::File("./none".into()));
    }

    #[test]
    fn an_address_has_a_scheme_and_a_host() {
        parse_url("http://127.0.0.1:9050/bigquery/v2").unwrap();
        for wrong in ["localhost:9050", "127.0.0.1:9050", "ftp://x", "https://"] {
            parse_url(wrong).unwrap_err();
        }
    }
}
