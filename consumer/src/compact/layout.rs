//! Pure. What lies in a table's folder, and in the one of its merged files, told by names alone.

use std::collections::BTreeMap;
use std::fmt;

use common::identity::Nonce;

use crate::sink::store::Listed;

/// Beside all tables, where no query of a table's folder looks.
const MERGED: &str = "_compacted";
const MANIFESTS: &str = "_files";
const EXTENSION: &str = ".parquet";
/// Wide enough for every offset and version, so that names sort as numbers do.
const DIGITS: usize = 20;
const ID_DIGITS: usize = 8;

/// Whose objects form one chain: a partition of a topic of one id, as far as names tell it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChainName {
    pub topic: String,
    pub partition: u32,
    /// The first digits of the topic's id; `None` for the first topic of that name.
    pub id_digits: Option<String>,
}

/// An object of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainObject {
    pub path: String,
    /// First offset that it covers.
    pub from: u64,
    pub bytes: u64,
}

/// All chains of a table, each in the order of its offsets.
pub type Chains = BTreeMap<ChainName, Vec<ChainObject>>;

impl ChainName {
    /// The path of the object that begins at `from`.
    pub fn path(&self, table: &str, from: u64) -> String {
        let Self { topic, partition, id_digits } = self;
        let id = id_digits.as_ref().map(|digits| format!("+{digits}")).unwrap_or_default();
        format!("{table}/partition={partition}/{topic}+{partition}+{from:0DIGITS$}{id}{EXTENSION}")
    }

    /// Whose object stands at `path`, and with which offset it begins.
    pub fn parse(table: &str, path: &str) -> Option<(Self, u64)> {
        let below = path.strip_prefix(table)?.strip_prefix('/')?;
        let (folder, file) = below.split_once('/')?;
        let mut words = file.strip_suffix(EXTENSION)?.split('+');
        let (topic, partition, from) = (words.next()?, words.next()?, words.next()?);
        let id_digits = words.next().map(str::to_owned);
        let name = Self { topic: topic.into(), partition: partition.parse().ok()?, id_digits };
        let from = from.parse().ok()?;
        let is_whole = words.next().is_none()
            && name.id_digits.as_ref().is_none_or(|digits| digits.len() == ID_DIGITS)
            && folder.starts_with("partition=")
            && name.path(table, from) == path;
        is_whole.then_some((name, from))
    }
}

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id_digits.as_ref().map(|digits| format!("+{digits}")).unwrap_or_default();
        write!(f, "{}/{}{id}", self.topic, self.partition)
    }
}

/// The chains in a listing of a table's folder.
pub fn chains(table: &str, listed: &[Listed]) -> Chains {
    let mut chains = Chains::new();
    for Listed { path, bytes, .. } in listed {
        if let Some((name, from)) = ChainName::parse(table, path) {
            let object = ChainObject { path: path.clone(), from, bytes: *bytes };
            chains.entry(name).or_default().push(object);
        }
    }
    for objects in chains.values_mut() {
        objects.sort_unstable_by_key(|object| object.from);
    }
    chains
}

/// The folder of a table's manifests.
pub fn manifests(table: &str) -> String {
    format!("{table}/{MANIFESTS}")
}

pub fn manifest_path(table: &str, version: u64) -> String {
    format!("{table}/{MANIFESTS}/{version:0DIGITS$}.json")
}

/// The version of the manifest at `path`.
pub fn manifest_version(table: &str, path: &str) -> Option<u64> {
    let below = path.strip_prefix(&manifests(table))?.strip_prefix('/')?;
    let version = below.strip_suffix(".json")?.parse().ok()?;
    (manifest_path(table, version) == path).then_some(version)
}

/// The folder of a table's merged files.
pub fn merged(table: &str) -> String {
    format!("{MERGED}/{table}")
}

/// A new file: only the manifest `version` can ever name it. `folder` is empty or a date folder.
pub fn merged_path(table: &str, folder: &str, version: u64, nonce: Nonce) -> String {
    let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    format!("{MERGED}/{table}/{folder}{version:0DIGITS$}-{nonce}{EXTENSION}")
}

/// What the name of a merged file tells: its folder, and the only manifest that could first name it.
pub fn merged_parts<'a>(table: &str, path: &'a str) -> Option<(&'a str, u64)> {
    let below = path.strip_prefix(&merged(table))?.strip_prefix('/')?;
    let (folder, file) = below.rsplit_once('/').unwrap_or(("", below));
    let (version, _) = file.strip_suffix(EXTENSION)?.split_once('-')?;
    (version.len() == DIGITS)
        .then(|| version.parse().ok())
        .flatten()
        .map(|version| (folder, version))
}

const DAY_MS: i64 = 86_400_000;

/// The folder of the rows of a day, by their record time (UTC); in the words of Hive, so that readers
/// know what it means.
pub fn date_folder(day: Option<i64>) -> String {
    let Some(day) = day else { return "kafka_date=__HIVE_DEFAULT_PARTITION__".into() };
    let (year, month, day) = civil(day);
    format!("kafka_date={year:04}-{month:02}-{day:02}")
}

/// Days since 1970 of a record time in milliseconds.
pub fn day(timestamp_ms: i64) -> i64 {
    timestamp_ms.div_euclid(DAY_MS)
}

/// Year, month and day of a count of days since 1970: Hinnant, `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_nothing_else_is() {
        let plain = ChainName { topic: "eu.orders".into(), partition: 3, id_digits: None };
        let again = ChainName { id_digits: Some("00ff12ab".into()), ..plain.clone() };
        for name in [plain, again] {
            let path = name.path("sales", 17);
            assert_eq!(ChainName::parse("sales", &path), Some((name, 17)));
            assert_eq!(ChainName::parse("sale", &path), None);
        }
        for path in [
            "sales/partition=3/orders+4+00000000000000000017.parquet",
            "sales/partition=3/orders+3+17.parquet",
            "sales/partition=03/orders+3+00000000000000000017.parquet",
            "sales/partition=3/orders+3+00000000000000000017+xyz.parquet",
            "sales/_files/00000000000000000001.json",
        ] {
            assert_eq!(ChainName::parse("sales", path), None, "{path}");
        }
    }

    #[test]
    fn manifests_and_merged_files_tell_their_versions() {
        assert_eq!(manifest_version("t", &manifest_path("t", 7)), Some(7));
        assert_eq!(manifest_version("t", "t/_files/7.json"), None);
        for folder in ["", "kafka_date=2026-01-02"] {
            let path = merged_path("t", folder, 7, Nonce(1));
            assert_eq!(merged_parts("t", &path), Some((folder, 7)));
            assert_eq!(merged_parts("u", &path), None);
        }
    }

    #[test]
    fn days_have_the_dates_of_the_calendar() {
        let dates = [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
            (20_778, "2026-11-21"),
        ];
        for (day, date) in dates {
            assert_eq!(date_folder(Some(day)), format!("kafka_date={date}"));
        }
        assert_eq!((day(-1), day(0), day(DAY_MS)), (-1, 0, 1));
    }
}
