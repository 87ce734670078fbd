//! Pure. What a table's manifest says, as docs/compaction.md describes it: which merged files hold it, and from
//! where on its chains hold the rest.

use serde::Deserialize;

/// The newest state of a compacted table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Manifest {
    pub version: u64,
    pub table_id: String,
    pub chains: Vec<Covered>,
    pub files: Vec<MergedFile>,
}

/// The offsets of a chain below `to` are in merged files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Covered {
    pub topic: String,
    pub topic_id: String,
    pub partition: u32,
    pub to: u64,
    /// Path of the object that begins there.
    pub next: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct MergedFile {
    /// Relative to the lake's root.
    pub path: String,
    pub bytes: u64,
    pub rows: u64,
}

/// The table and the version that a path names, if it is one of a manifest.
pub fn place(path: &str) -> Option<(&str, u64)> {
    let (table, file) = path.split_once("/_files/")?;
    Some((table, file.strip_suffix(".json")?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_tells_its_table_and_version_by_its_path() {
        assert_eq!(place("sales/_files/00000000000000000012.json"), Some(("sales", 12)));
        assert_eq!(place("sales/_files/x.json"), None);
        assert_eq!(place("sales/_schema/1.json"), None);
    }
}
