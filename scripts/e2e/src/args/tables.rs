//! IO. The flags that say where rows are.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use crate::bigquery::listing::SERVICE;

/// Where the lake is.
#[derive(Args, Clone, Debug)]
pub struct LakeArgs {
    /// The lake: a folder, or a URL (file://, s3://, gs://, az://)
    #[arg(long, value_name = "URL|DIR")]
    pub lake: String,

    /// Option of the lake's store; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub lake_option: Vec<(String, String)>,
}

/// Where BigQuery's tables are.
#[derive(Args, Clone, Debug)]
pub struct BigQueryArgs {
    /// Project of the dataset, if rows are in BigQuery and not in a lake
    #[arg(long, value_name = "PROJECT", requires = "bigquery_dataset")]
    pub bigquery_project: Option<String>,

    /// Dataset with the topics' tables
    #[arg(long, value_name = "DATASET", requires = "bigquery_project")]
    pub bigquery_dataset: Option<String>,

    /// Address of the REST interface, for emulators and private endpoints
    #[arg(long, value_name = "URL", default_value = SERVICE)]
    pub bigquery_rest_url: String,

    /// File with an access token, as `gcloud auth print-access-token` prints it; emulators need none
    #[arg(long, value_name = "FILE")]
    pub bigquery_token: Option<PathBuf>,
}

impl LakeArgs {
    pub fn options(&self) -> BTreeMap<String, String> {
        self.lake_option.iter().cloned().collect()
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = pair.ok_or_else(|| format!("expected `key=value`, got `{text}`"))?;
    Ok((key.into(), value.into()))
}
