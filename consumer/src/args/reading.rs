//! IO. The flags that say how records are read where no service entry does.

use std::collections::BTreeMap;
use std::fs;

use clap::Args;
use common::messages::entry::{EntryError, EntryOptions};
use common::messages::format::FORMATS;
use common::messages::service::SINKS;

use crate::by_hand::Reading;

#[derive(Args, Clone, Debug, Default)]
pub struct ReadingArgs {
    /// Format of the records that are read by hand, `json` unless given
    #[arg(long, env, hide_env_values = true, value_name = "NAME", value_parser = FORMATS)]
    pub format: Option<String>,

    /// Sink of the records that are read by hand, `parquet` unless given
    #[arg(long, env, hide_env_values = true, value_name = "NAME", value_parser = SINKS)]
    pub sink: Option<String>,

    /// Option of the records that are read by hand, as in a service entry; `KEY=@FILE` takes the value from a file. May be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_option)]
    pub format_option: Vec<(String, String)>,
}

impl ReadingArgs {
    /// # Errors
    /// If there is no such option for that format and sink, or it cannot take its value.
    pub fn check(&self) -> Result<(), EntryError> {
        let Reading { format, sink, options } = self.reading();
        EntryOptions::parse(&format, &sink, &options).map(drop)
    }

    pub(super) fn is_given(&self) -> bool {
        self.format.is_some() || self.sink.is_some() || !self.format_option.is_empty()
    }

    /// The format's name.
    pub fn format(&self) -> &str {
        self.format.as_deref().unwrap_or(FORMATS[0])
    }

    /// The sink's name.
    pub fn sink(&self) -> &str {
        self.sink.as_deref().unwrap_or(SINKS[0])
    }

    pub fn reading(&self) -> Reading {
        let options: BTreeMap<_, _> = self.format_option.iter().cloned().collect();
        Reading { format: self.format().into(), sink: self.sink().into(), options }
    }
}

fn parse_option(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = pair.ok_or_else(|| format!("expected `key=value`, got `{text}`"))?;
    let value = match value.strip_prefix('@') {
        None => value.to_owned(),
        Some(path) => fs::read_to_string(path)
            .map_err(|error| format!("the file `{path}` cannot be read: {error}"))?,
    };
    Ok((key.into(), value))
}
