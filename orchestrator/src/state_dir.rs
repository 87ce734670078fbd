//! IO. The orchestrator's own folder: only one process at a time has it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use common::identity::Nonce;
use rand::Rng;
use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

const LOCK: &str = "orchestrator.lock";
const ID: &str = "orchestrator.id";

#[derive(Debug, Error)]
pub enum StateDirError {
    #[error("the state directory {} cannot be used", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the state directory {} is used by another orchestrator", path.display())]
    Taken { path: PathBuf },
}

/// A folder whose lock this process holds for as long as it lives.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    id: Nonce,
    _lock: File,
}

impl StateDir {
    /// Makes the folder if it is missing, and takes its lock.
    ///
    /// # Errors
    /// If it cannot be written, or another process has it.
    pub fn open(path: &Path, rng: &mut impl Rng) -> Result<Self, StateDirError> {
        let failed = |source| StateDirError::Folder { path: path.into(), source };
        fs::create_dir_all(path).map_err(failed)?;
        // Consumers are told where their folders are, wherever they run.
        let path = fs::canonicalize(path).map_err(failed)?;
        let failed = |source| StateDirError::Folder { path: path.clone(), source };
        let lock = File::options().create(true).truncate(false).write(true).open(path.join(LOCK));
        let lock = lock.map_err(failed)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(StateDirError::Taken { path }),
            Err(error) => return Err(failed(error.into())),
        }
        let id = read_or_make_id(&path, rng).map_err(failed)?;
        Ok(Self { path, id, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same for every process that has this folder, and no other.
    pub fn id(&self) -> Nonce {
        self.id
    }
}

/// A text that is no id is replaced: then this is another folder, as far as anybody can tell.
fn read_or_make_id(path: &Path, rng: &mut impl Rng) -> io::Result<Nonce> {
    let found = fs::read_to_string(path.join(ID)).ok();
    if let Some(id) = found.and_then(|text| text.trim().parse().ok()) {
        return Ok(id);
    }
    let id = Nonce::from_rng(rng);
    let staged = path.join(format!("{ID}.new"));
    let mut file = File::create(&staged)?;
    writeln!(file, "{id}")?;
    file.sync_all()?;
    fs::rename(staged, path.join(ID))?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::ChaCha8Rng;

    use super::*;

    #[test]
    fn a_folder_has_one_process_at_a_time_and_keeps_its_id() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("state");
        let open = |seed| StateDir::open(&path, &mut ChaCha8Rng::seed_from_u64(seed));
        let first = open(1).unwrap();
        assert!(open(2).unwrap_err().to_string().ends_with("is used by another orchestrator"));
        let id = first.id();
        drop(first);
        assert_eq!(open(3).unwrap().id(), id);
        fs::write(path.join(ID), "garbage").unwrap();
        assert_ne!(open(4).unwrap().id(), id);
    }
}
