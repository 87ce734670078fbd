//! IO. Has objects whose rows are in merged files give these up; each keeps its name and footer.

use std::sync::Arc;

use bytes::Bytes;
use common::crash_point;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;

use super::lake::{CompactError, TableLake};
use super::source::FileFacts;
use crate::sink::parquet::object::writer_properties;
use crate::sink::parquet::{Compression, read_footer};

/// Objects that are rewritten at the same time.
const WRITES: usize = 8;

/// What was given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reclaimed {
    pub objects: u64,
    pub bytes: u64,
}

/// Puts an object without rows in the place of each; safe to be broken off and to be done twice.
pub async fn reclaim(
    lake: &TableLake,
    objects: Vec<(String, u64)>,
) -> Result<Reclaimed, CompactError> {
    let each = objects.into_iter().map(async |(path, bytes)| empty(lake, &path, bytes).await);
    let freed = stream::iter(each).buffer_unordered(WRITES);
    let sum = |sum: Reclaimed, freed: Option<u64>| async move {
        let bytes = freed.unwrap_or(0);
        let objects = u64::from(freed.is_some());
        Ok(Reclaimed { objects: sum.objects + objects, bytes: sum.bytes + bytes })
    };
    freed.try_fold(Reclaimed::default(), sum).await
}

/// The bytes that were freed, if the object still had rows.
async fn empty(lake: &TableLake, path: &str, bytes: u64) -> Result<Option<u64>, CompactError> {
    let object = lake.store.read(path).await.map_err(CompactError::Store)?;
    let Some(object) = object else { return Ok(None) };
    let unusable = |error: &dyn std::error::Error| CompactError::file(path, error);
    let facts = FileFacts::read(&object).map_err(|error| unusable(&error))?;
    if facts.rows() == 0 {
        return Ok(None);
    }
    let emptied = without_rows(&facts).map_err(|error| unusable(&error))?;
    let (was, is) = (read_footer(&object), read_footer(&emptied));
    let is_same = was.as_ref().ok() == is.as_ref().ok();
    if !is_same || was.is_err() {
        let problem = "its footer would not stay as it is".into();
        return Err(CompactError::File { path: path.into(), problem });
    }
    let freed = bytes.saturating_sub(emptied.len() as u64);
    crash_point::before("reclaim");
    lake.store.replace(path, emptied).await.map_err(CompactError::Store)?;
    crash_point::after("reclaim");
    Ok(Some(freed))
}

/// The same columns and the same footer, and no rows.
fn without_rows(facts: &FileFacts) -> parquet::errors::Result<Bytes> {
    let key_values = facts.key_values().to_vec();
    let properties = writer_properties(Compression::default())?;
    let properties = properties.set_key_value_metadata(Some(key_values)).build();
    let options = ArrowWriterOptions::new().with_properties(properties);
    let options = options.with_skip_arrow_metadata(true);
    let writer =
        ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&facts.schema()), options)?;
    Ok(writer.into_inner()?.into())
}
