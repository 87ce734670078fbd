//! IO. Every decision with its reasons and what it was made from, a line of JSON each, in `decisions.jsonl`.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::decision::JournalLine;

const FILE: &str = "decisions.jsonl";
const OLD_FILE: &str = "decisions.1.jsonl";
/// From this size on the file is kept aside and another one begun.
const BYTES_MAX: u64 = 64 << 20;

/// Appends to the file; the one before it is kept.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    bytes_max: u64,
}

impl Journal {
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.into(), bytes_max: BYTES_MAX }
    }

    pub fn append(&self, line: &JournalLine) -> io::Result<()> {
        let path = self.folder.join(FILE);
        let is_full = fs::metadata(&path).is_ok_and(|found| found.len() >= self.bytes_max);
        if is_full {
            fs::rename(&path, self.folder.join(OLD_FILE))?;
        }
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        File::options().create(true).append(true).open(&path)?.write_all(&text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use common::moment::Timestamp;
    use common::rate::BytesPerSecond;

    use super::*;
    use crate::decision::Decision;
    use crate::plan::plan;
    use crate::plan::policy::Policy;
    use crate::plan::snapshot::{Limits, Scope, Snapshot};
    use crate::trigger::{Reason, Trigger};

    fn line() -> JournalLine {
        let limits = Limits {
            capacity: BytesPerSecond(100),
            plan_percent: 75,
            trigger_percent: 90,
            consumers_min: 1,
            spares: 0,
            consumers_max: 3,
            create_max: 3,
            hold: None,
        };
        let (partitions, consumers) = (BTreeMap::new(), BTreeMap::new());
        let snapshot = Snapshot {
            scope: Scope::Pack,
            policy: Policy::default(),
            limits,
            partitions,
            consumers,
        };
        let reason = Reason::Asked { by: "me".into() };
        let trigger = Trigger { reason, scope: Scope::Pack };
        let decision = Decision::new(Timestamp(5), &trigger, &plan(&snapshot), &snapshot);
        JournalLine { decision, snapshot }
    }

    /// Whoever reads the journal can make the same plan again.
    #[test]
    fn lines_are_read_back_and_a_full_file_is_kept_aside() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal { bytes_max: 10, ..Journal::new(folder.path()) };
        journal.append(&line()).unwrap();
        journal.append(&line()).unwrap();
        for file in [FILE, OLD_FILE] {
            let text = fs::read_to_string(folder.path().join(file)).unwrap();
            let read: JournalLine = serde_json::from_str(text.trim_end()).unwrap();
            assert_eq!(read, line());
            assert_eq!(plan(&read.snapshot).create.len(), read.decision.changes.create.len());
        }
    }
}
