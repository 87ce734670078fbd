//! IO. The commands `compact` and `files`.

use std::io::{self, Write as _};

use anyhow::Context as _;
use common::clock::Clock;
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use serde_json::json;

use super::args::{CompactArgs, FilesArgs, LakeArgs};
use super::compactor::Compactor;
use super::lake::{CompactError, TableFile, TableLake};
use crate::command_line::Failure;
use crate::sink::parquet::Nonces;
use crate::sink::store::Store;

impl From<CompactError> for Failure {
    fn from(error: CompactError) -> Self {
        if error.is_bad_input() { Self::Input(error.into()) } else { Self::Run(error.into()) }
    }
}

/// Compacts the tables, one after the other.
///
/// # Errors
/// If there is no such table, or one could not be compacted; what is done by then stays done.
pub async fn compact(args: &CompactArgs) -> Result<(), Failure> {
    let store = open(&args.lake).await?;
    let nonces = Nonces::new(ChaCha8Rng::from_rng(&mut rand::rng()));
    let mut lakes = Vec::new();
    for table in &args.tables {
        lakes.push(TableLake::open(store.clone(), table).await?);
    }
    for lake in lakes {
        let table = lake.table.clone();
        let compactor = Compactor::new(lake, args.options(), nonces.clone());
        let summary = compactor.run(|| Clock.timestamp()).await?;
        if args.json {
            print(&json!({"table": table, "summary": summary}).to_string())?;
        } else {
            print(&format!("{table}: {summary}"))?;
        }
    }
    Ok(())
}

/// Prints the files that hold a table now.
///
/// # Errors
/// If there is no such table, or it cannot be read.
pub async fn files(args: &FilesArgs) -> Result<(), Failure> {
    let lake = TableLake::open(open(&args.lake).await?, &args.table).await?;
    let seen = lake.see().await?;
    let files = seen.files(&args.table);
    let root = root(&args.lake);
    if args.json {
        let file = |file: &TableFile| json!({"path": format!("{root}/{}", file.path), "bytes": file.bytes});
        let files: Vec<_> = files.iter().map(file).collect();
        let version = seen.manifest.map(|manifest| manifest.version);
        return print(
            &json!({"table": args.table, "manifest": version, "files": files}).to_string(),
        );
    }
    let lines: Vec<_> = files.iter().map(|file| format!("{root}/{}", file.path)).collect();
    if lines.is_empty() { Ok(()) } else { print(&lines.join("\n")) }
}

async fn open(args: &LakeArgs) -> Result<Store, Failure> {
    let input = |error: anyhow::Error| Failure::Input(error);
    let options = args.store_options().map_err(|error| input(error.into()))?;
    let opened = Store::open(&args.sink_url, &options).await;
    let opened = opened.with_context(|| format!("the lake `{}` cannot be opened", args.sink_url));
    opened.map_err(input)
}

/// What the paths of files are printed behind: a folder by its path, as all readers take it.
fn root(args: &LakeArgs) -> String {
    let folder = args.sink_url.to_file_path().ok().filter(|_| args.sink_url.scheme() == "file");
    let root = folder.map(|folder| folder.display().to_string());
    root.unwrap_or_else(|| args.sink_url.to_string()).trim_end_matches('/').into()
}

/// Unlike `println!`, no panic when nobody reads on.
fn print(text: &str) -> Result<(), Failure> {
    let printed = writeln!(io::stdout(), "{text}").context("failed to print");
    printed.map_err(Failure::Run)
}
