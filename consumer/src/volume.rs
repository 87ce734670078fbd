//! IO. The folder that a consumer keeps: its lock, and its state, replaced as a whole.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::crash_point;
use rustix::fs::{FlockOperation, flock};
use tokio::task;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::state::{Belonging, State, Unusable};

const LOCK: &str = "lock";
const STATE: &str = "state.json";
/// How often, and after which pauses, the lock is tried: 2 s in all.
const LOCK_ATTEMPTS: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    #[error("the state folder {} cannot be used", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the state file {} was not written", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// A folder whose lock this process holds, for as long as it lives.
#[derive(Debug)]
pub struct Volume {
    folder: PathBuf,
    _lock: File,
}

/// What was found on a volume.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    Nothing,
    State(Box<State>),
    /// It was moved out of the way, to this name.
    SetAside {
        why: Unusable,
        name: String,
    },
}

impl Volume {
    /// Takes the folder's lock, and makes the folder if it is missing. `None` if another process
    /// holds the lock.
    pub async fn open(folder: &Path) -> Result<Option<Self>, VolumeError> {
        let failed = |source| VolumeError::Folder { path: folder.into(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        let path = folder.join(LOCK);
        let lock = File::options().create(true).truncate(false).write(true).open(path);
        let lock = lock.map_err(failed)?;
        for _ in 0..LOCK_ATTEMPTS {
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(Self { folder: folder.into(), _lock: lock })),
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
                Err(error) => return Err(failed(error.into())),
            }
            sleep(LOCK_PAUSE).await;
        }
        Ok(None)
    }

    /// Reads the state; what is of no use is moved out of the way.
    pub fn load(&self, belonging: &Belonging) -> Result<Found, VolumeError> {
        let path = self.folder.join(STATE);
        let failed = |source| VolumeError::Folder { path: self.folder.clone(), source };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(failed(error)),
        };
        match State::decode(&bytes, belonging) {
            Ok(state) => Ok(Found::State(Box::new(state))),
            Err(why) => {
                let name = self.free_name(why.label());
                fs::rename(&path, self.folder.join(&name)).map_err(failed)?;
                Ok(Found::SetAside { why, name })
            }
        }
    }

    /// Replaces the state: after a crash the old one or the new one is there, whole.
    pub async fn save(&self, state: &State) -> Result<(), VolumeError> {
        let (folder, bytes) = (self.folder.clone(), state.encode());
        crash_point::before("state");
        let saved = task::spawn_blocking(move || replace(&folder, &bytes)).await;
        crash_point::after("state");
        let failed = |source| VolumeError::Write { path: self.folder.join(STATE), source };
        saved.unwrap_or_else(|ended| Err(io::Error::other(ended))).map_err(failed)
    }

    fn free_name(&self, label: &str) -> String {
        let names = (1..).map(|number| format!("{STATE}.{label}-{number}"));
        let mut free = names.filter(|name| !self.folder.join(name).exists());
        free.next().expect("numbers do not end")
    }
}

/// Says what was found; nothing else follows from it.
pub fn log_found(found: &Found) {
    match found {
        Found::Nothing => info!("the volume is new"),
        Found::State(state) => info!(
            was_clean = state.is_clean,
            incarnation = %state.incarnation,
            partitions = state.partitions.len(),
            "the volume tells of the last stop"
        ),
        Found::SetAside { why, name } => warn!(name, "{why}: it was set aside"),
    }
}

fn replace(folder: &Path, bytes: &[u8]) -> io::Result<()> {
    let staged = folder.join(format!("{STATE}.new"));
    let mut file = File::create(&staged)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&staged, folder.join(STATE))?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::identity::{ConsumerId, Incarnation, TopicId};
    use common::moment::Timestamp;
    use uuid::Uuid;

    fn state() -> State {
        State {
            belonging: Belonging {
                consumer: ConsumerId(1),
                group: "g".into(),
                cluster_id: "c".into(),
            },
            controller_topic_id: TopicId(Uuid::from_u128(1)),
            incarnation: Incarnation(7),
            is_clean: true,
            saved_at: Timestamp(9),
            partitions: vec![],
        }
    }

    #[tokio::test]
    async fn a_state_is_found_again_and_one_that_is_of_no_use_is_kept_aside() {
        let root = tempfile::tempdir().unwrap();
        let volume = Volume::open(&root.path().join("c1")).await.unwrap().unwrap();
        let state = state();
        assert_eq!(volume.load(&state.belonging).unwrap(), Found::Nothing);
        volume.save(&state).await.unwrap();
        let found = volume.load(&state.belonging).unwrap();
        assert_eq!(found, Found::State(Box::new(state.clone())));
        for number in 1..3 {
            fs::write(root.path().join("c1/state.json"), "nonsense").unwrap();
            let name = format!("state.json.corrupt-{number}");
            let found = volume.load(&state.belonging).unwrap();
            assert_eq!(found, Found::SetAside { why: Unusable::Corrupt, name: name.clone() });
            assert_eq!(fs::read(root.path().join("c1").join(name)).unwrap(), b"nonsense");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_volume_has_one_holder() {
        let root = tempfile::tempdir().unwrap();
        let first = Volume::open(root.path()).await.unwrap();
        assert!(Volume::open(root.path()).await.unwrap().is_none());
        drop(first);
        assert!(Volume::open(root.path()).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_made_is_named() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        let error = Volume::open(&root.path().join("file/c1")).await.unwrap_err();
        assert!(error.to_string().contains("file/c1 cannot be used"), "{error}");
    }
}
