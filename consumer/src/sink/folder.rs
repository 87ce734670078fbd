//! IO. Objects as local files: staged, made durable, and renamed to their name unless it is taken.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use common::crash_point;
use common::moment::Timestamp;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use uuid::Uuid;

use super::store::{Put, StoreError};

/// Where files stand until they are whole; beside all tables, so that no query of one sees it.
const STAGING: &str = "_staging";

/// A folder of this machine that holds a lake.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    root: PathBuf,
    /// Folders whose own entries are known to be durable.
    durable: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl Folder {
    /// Makes the folder if it is missing.
    pub(super) async fn open(root: PathBuf) -> Result<Self, StoreError> {
        let folder = Self { root, durable: Arc::default() };
        let staging = folder.root.join(STAGING);
        folder.run("making", STAGING, move |folder| folder.make_durable(&staging)).await?;
        Ok(folder)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) async fn put_new(&self, path: &str, bytes: Bytes) -> Result<Put, StoreError> {
        let name = path.to_owned();
        self.run("putting", path, move |folder| folder.put_blocking(&name, &bytes)).await
    }

    /// Makes a file and the way to it durable.
    pub(super) async fn settle(&self, path: &str) -> Result<(), StoreError> {
        let target = self.root.join(path);
        self.run("making durable", path, move |folder| {
            File::open(&target)?.sync_all()?;
            let parent = parent(&target)?;
            folder.make_durable(parent)?;
            sync_folder(parent)
        })
        .await
    }

    /// Removes staged files whose path begins with `prefix`.
    pub(super) async fn sweep(&self, prefix: &str) -> Result<(), StoreError> {
        let staged = flat(prefix);
        self.run("sweeping", prefix, move |folder| {
            for entry in fs::read_dir(folder.root.join(STAGING))? {
                let entry = entry?;
                if entry.file_name().to_string_lossy().starts_with(&staged) {
                    remove_if_there(&entry.path())?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Puts a file in the place of the one that is there.
    pub(super) async fn replace(&self, path: &str, bytes: Bytes) -> Result<(), StoreError> {
        let mut staged = self.begin(path).await?;
        staged.append(bytes).await?;
        staged.finish().await
    }

    /// Begins a file that is whole when it gets its name.
    pub(super) async fn begin(&self, path: &str) -> Result<Staged, StoreError> {
        let target = self.root.join(path);
        let staged = self.staged(path);
        let place = staged.clone();
        let file = self.run("staging", path, move |folder| {
            folder.make_durable(parent(&target)?)?;
            File::create_new(place)
        });
        let file = Arc::new(file.await?);
        Ok(Staged { folder: self.clone(), path: path.into(), staged, file })
    }

    /// Removes staged files of paths below `path` that were last written before `until`.
    pub(super) async fn sweep_older(&self, path: &str, until: Timestamp) -> Result<(), StoreError> {
        let prefix = flat(path);
        let since_epoch = Duration::from_millis(u64::try_from(until.0).unwrap_or(0));
        self.run("sweeping", path, move |folder| {
            for entry in fs::read_dir(folder.root.join(STAGING))? {
                let entry = entry?;
                let is_ours = entry.file_name().to_string_lossy().starts_with(&prefix);
                // It may go while one looks.
                let Ok(facts) = entry.metadata() else { continue };
                if is_ours && facts.modified()? < UNIX_EPOCH + since_epoch {
                    remove_if_there(&entry.path())?;
                }
            }
            Ok(())
        })
        .await
    }

    fn staged(&self, path: &str) -> PathBuf {
        self.root.join(STAGING).join(format!("{}+{}", flat(path), Uuid::new_v4().simple()))
    }

    async fn run<T: Send + 'static>(
        &self,
        attempt: &'static str,
        path: &str,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let folder = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&folder)).await;
        let done = done.unwrap_or_else(|ended| Err(io::Error::other(ended)));
        done.map_err(|source| {
            let path = self.root.join(path).display().to_string();
            StoreError::File { attempt, path, source }
        })
    }

    fn put_blocking(&self, path: &str, bytes: &[u8]) -> io::Result<Put> {
        let target = self.root.join(path);
        let folder = parent(&target)?;
        self.make_durable(folder)?;
        let staged = self.staged(path);
        let put = write_durably(&staged, bytes).and_then(|()| {
            crash_point::before("rename");
            let renamed = rename_if_absent(&staged, &target);
            crash_point::after("rename");
            renamed
        });
        if !matches!(put, Ok(Put::Stored)) {
            // Only space is lost if this fails; the next owner sweeps.
            let _ = fs::remove_file(&staged);
        }
        if put.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            // Somebody removed the folder: the next attempt makes it again.
            self.lock().clear();
        }
        if put? == Put::Taken {
            return Ok(Put::Taken);
        }
        sync_folder(folder)?;
        Ok(Put::Stored)
    }

    /// Makes `folder` and every one above it, up to the root's own entry, and makes all of them durable.
    fn make_durable(&self, folder: &Path) -> io::Result<()> {
        if self.lock().contains(folder) {
            return Ok(());
        }
        fs::create_dir_all(folder)?;
        // Also where they were there: who made them may not have lived to make them durable.
        for above in folder.ancestors().skip(1).take_while(|above| above.starts_with(&self.root)) {
            sync_folder(above)?;
        }
        if let Some(above) = self.root.parent() {
            sync_folder(above)?;
        }
        self.lock().insert(folder.into());
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<PathBuf>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that is being written beside all tables.
#[derive(Debug)]
pub(super) struct Staged {
    folder: Folder,
    path: String,
    staged: PathBuf,
    file: Arc<File>,
}

impl Staged {
    pub(super) async fn append(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let file = Arc::clone(&self.file);
        self.folder.run("writing", &self.path, move |_| (&*file).write_all(&bytes)).await
    }

    /// Makes the file durable under its name, in place of another that is there.
    pub(super) async fn finish(self) -> Result<(), StoreError> {
        let (file, staged) = (Arc::clone(&self.file), self.staged.clone());
        let target = self.folder.root.join(&self.path);
        let finish = self.folder.run("putting", &self.path, move |_| {
            file.sync_all()?;
            fs::rename(staged, &target)?;
            sync_folder(parent(&target)?)
        });
        finish.await
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Not there any more once it has its name; else only space is lost if this fails.
        let _ = fs::remove_file(&self.staged);
    }
}

/// A path as one name, so that staged files need no folders of their own.
fn flat(path: &str) -> String {
    path.replace('/', "+")
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::Error::other("an object's path is below the root"))
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn rename_if_absent(staged: &Path, target: &Path) -> io::Result<Put> {
    match renameat_with(CWD, staged, CWD, target, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(Put::Stored),
        Err(Errno::EXIST) => Ok(Put::Taken),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => link_if_absent(staged, target),
        Err(error) => Err(error.into()),
    }
}

/// For file systems that cannot rename on condition.
fn link_if_absent(staged: &Path, target: &Path) -> io::Result<Put> {
    match fs::hard_link(staged, target) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(Put::Taken),
        Err(error) => return Err(error),
    }
    fs::remove_file(staged)?;
    Ok(Put::Stored)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_name_is_given_once_and_nothing_stays_staged() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path().join("lake")).await.unwrap();
        let path = "t/partition=0/a.parquet";
        assert_eq!(folder.put_new(path, "1".into()).await.unwrap(), Put::Stored);
        assert_eq!(folder.put_new(path, "2".into()).await.unwrap(), Put::Taken);
        assert_eq!(fs::read(folder.root().join(path)).unwrap(), b"1");
        assert!(names(&folder.root().join(STAGING)).is_empty());
        folder.settle(path).await.unwrap();
    }

    #[test]
    fn without_a_conditional_rename_a_link_does_the_same() {
        let root = tempfile::tempdir().unwrap();
        let (staged, target) = (root.path().join("staged"), root.path().join("target"));
        fs::write(&staged, "1").unwrap();
        assert_eq!(link_if_absent(&staged, &target).unwrap(), Put::Stored);
        fs::write(&staged, "2").unwrap();
        assert_eq!(link_if_absent(&staged, &target).unwrap(), Put::Taken);
        assert_eq!(fs::read(&target).unwrap(), b"1");
    }

    #[tokio::test]
    async fn the_owner_sweeps_only_what_is_its_own() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path().into()).await.unwrap();
        let staging = root.path().join(STAGING);
        for name in ["t+partition=1+t+1+5+x", "t+partition=1+t+10+5+x"] {
            fs::write(staging.join(name), "half").unwrap();
        }
        folder.sweep("t/partition=1/t+1+").await.unwrap();
        assert_eq!(names(&staging), ["t+partition=1+t+10+5+x"]);
    }

    #[tokio::test]
    async fn a_folder_that_was_removed_is_made_again() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path().into()).await.unwrap();
        folder.put_new("t/a", "1".into()).await.unwrap();
        fs::remove_dir_all(root.path().join("t")).unwrap();
        folder.put_new("t/b", "1".into()).await.unwrap_err();
        assert_eq!(folder.put_new("t/b", "1".into()).await.unwrap(), Put::Stored);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_made_is_named() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Folder::open(file.join("lake")).await.unwrap_err();
        assert!(error.to_string().starts_with("making `"), "{error}");
    }
}
