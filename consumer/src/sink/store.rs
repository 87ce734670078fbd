//! IO. The object store behind a sink's URL: objects are put once, and durable when stored. Only compaction
//! empties what it has stored elsewhere.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use common::crash_point;
use common::moment::Timestamp;
use futures::TryStreamExt as _;
use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, ObjectStoreScheme, PutMode, PutOptions,
};
use url::Url;

use super::folder::Folder;
use super::upload::Upload;

/// A place for objects, named by paths relative to the sink's root.
#[derive(Clone, Debug)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    root: Path,
    /// On local files writing is ours, because it must be durable and leave nothing beside the data.
    folder: Option<Arc<Folder>>,
}

/// How a conditional put ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    Stored,
    /// There is an object under that name, perhaps this very one.
    Taken,
}

/// The end of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Bytes of the whole object.
    pub size: u64,
    pub bytes: Bytes,
}

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub path: String,
    pub bytes: u64,
    /// By the store's clock.
    pub stored_at: Timestamp,
}

/// What could not be done, on which object.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{attempt} `{path}` failed")]
    Object {
        attempt: &'static str,
        path: String,
        #[source]
        source: object_store::Error,
    },
    #[error("{attempt} `{path}` failed")]
    File {
        attempt: &'static str,
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "{attempt} `{path}` was refused by the store: check the credentials (--sink-config, or AWS_…, GOOGLE_…, AZURE_… in the environment) and what they allow"
    )]
    Refused {
        attempt: &'static str,
        path: String,
        #[source]
        source: object_store::Error,
    },
    #[error("`{path}` was taken when it was put, and is not there when it is read")]
    Vanished { path: String },
    #[error("the sink's URL `{url}` cannot be used")]
    Url {
        url: String,
        #[source]
        source: object_store::Error,
    },
    #[error("the sink's URL `{url}` names no folder of this machine")]
    NoFolder { url: String },
    #[error("`{key}` is no setting of a sink at `{url}`")]
    UnknownOption { url: String, key: String },
}

impl StoreError {
    /// True if the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        use object_store::Error;
        match self {
            Self::Object { source, .. } => !matches!(
                source,
                Error::NotSupported { .. }
                    | Error::NotImplemented { .. }
                    | Error::InvalidPath { .. }
                    | Error::UnknownConfigurationKey { .. }
            ),
            // Rights come back as they went: a rotated key, a changed policy.
            Self::File { .. } | Self::Vanished { .. } | Self::Refused { .. } => true,
            Self::Url { .. } | Self::NoFolder { .. } | Self::UnknownOption { .. } => false,
        }
    }
}

/// Whether a store of the URL's scheme knows the option. `object_store` itself skips what it does not
/// know.
pub fn is_option(url: &Url, key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    match ObjectStoreScheme::parse(url) {
        Ok((ObjectStoreScheme::AmazonS3, _)) => key.parse::<AmazonS3ConfigKey>().is_ok(),
        Ok((ObjectStoreScheme::GoogleCloudStorage, _)) => key.parse::<GoogleConfigKey>().is_ok(),
        Ok((ObjectStoreScheme::MicrosoftAzure, _)) => key.parse::<AzureConfigKey>().is_ok(),
        _ => false,
    }
}

impl Store {
    /// The store that `url` names; `options` are those of `object_store` for its scheme.
    ///
    /// # Errors
    /// If an option is unknown to a store of that scheme, or the store cannot be used.
    pub async fn open(url: &Url, options: &BTreeMap<String, String>) -> Result<Self, StoreError> {
        if let Some(key) = options.keys().find(|key| !is_option(url, key)) {
            return Err(StoreError::UnknownOption { url: url.to_string(), key: key.clone() });
        }
        if url.scheme() != "file" {
            let opened = object_store::parse_url_opts(url, options);
            let (objects, root) =
                opened.map_err(|source| StoreError::Url { url: url.to_string(), source })?;
            return Ok(Self { objects: objects.into(), root, folder: None });
        }
        let path = url.to_file_path();
        let path = path.map_err(|()| StoreError::NoFolder { url: url.to_string() })?;
        let folder = Folder::open(path).await?;
        let objects = LocalFileSystem::new_with_prefix(folder.root())
            .map_err(|source| StoreError::Url { url: url.to_string(), source })?;
        let folder = Some(Arc::new(folder));
        Ok(Self { objects: Arc::new(objects), root: Path::default(), folder })
    }

    /// A store over any other implementation, such as one in memory.
    pub fn over(objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects, root: Path::default(), folder: None }
    }

    /// Stores `bytes` unless there is an object of that name. After an error either may be true.
    pub async fn put_new(&self, path: &str, bytes: Bytes) -> Result<Put, StoreError> {
        crash_point::before("put");
        let put = self.try_put_new(path, bytes).await;
        crash_point::after("put");
        put
    }

    async fn try_put_new(&self, path: &str, bytes: Bytes) -> Result<Put, StoreError> {
        if let Some(folder) = &self.folder {
            return folder.put_new(path, bytes).await;
        }
        // Never multipart: completing one may overwrite.
        let options = PutOptions::from(PutMode::Create);
        match self.objects.put_opts(&self.full(path)?, bytes.into(), options).await {
            Ok(_) => Ok(Put::Stored),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Ok(Put::Taken),
            Err(source) => Err(object_error("putting", path, source)),
        }
    }

    /// Makes an object durable that somebody else may have put and not lived to make so.
    pub async fn settle(&self, path: &str) -> Result<(), StoreError> {
        match &self.folder {
            Some(folder) => folder.settle(path).await,
            None => Ok(()),
        }
    }

    /// The whole object, or `None` if there is none.
    pub async fn read(&self, path: &str) -> Result<Option<Bytes>, StoreError> {
        match self.objects.get(&self.full(path)?).await {
            Ok(found) => {
                let bytes = found.bytes().await;
                bytes.map(Some).map_err(|source| object_error("reading", path, source))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(object_error("reading", path, source)),
        }
    }

    /// The last `bytes_max` bytes of an object, or `None` if there is none.
    pub async fn tail(&self, path: &str, bytes_max: u64) -> Result<Option<Tail>, StoreError> {
        let full = self.full(path)?;
        let size = match self.objects.head(&full).await {
            Ok(found) => found.size,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(object_error("looking at", path, source)),
        };
        if size == 0 {
            return Ok(Some(Tail { size, bytes: Bytes::new() }));
        }
        let range = GetRange::Bounded(size.saturating_sub(bytes_max)..size);
        let options = GetOptions { range: Some(range), ..GetOptions::default() };
        let read = async { self.objects.get_opts(&full, options).await?.bytes().await };
        let bytes = read.await.map_err(|source| object_error("reading", path, source))?;
        Ok(Some(Tail { size, bytes }))
    }

    /// The paths of all objects in a folder, in order; with `after` only those behind it.
    pub async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<String>, StoreError> {
        let prefix = self.full(folder)?;
        let found = match after {
            Some(after) => self.objects.list_with_offset(Some(&prefix), &self.full(after)?),
            None => self.objects.list(Some(&prefix)),
        };
        let found = found.map_ok(|object| self.relative(&object.location)).try_collect().await;
        let mut paths: Vec<String> =
            found.map_err(|source| object_error("listing", folder, source))?;
        paths.sort_unstable();
        Ok(paths)
    }

    /// All objects in a folder, in the order of their paths.
    pub async fn list_all(&self, folder: &str) -> Result<Vec<Listed>, StoreError> {
        let listed = self.objects.list(Some(&self.full(folder)?)).map_ok(|object| Listed {
            path: self.relative(&object.location),
            bytes: object.size,
            stored_at: Timestamp(object.last_modified.timestamp_millis()),
        });
        let mut listed: Vec<Listed> =
            listed.try_collect().await.map_err(|source| object_error("listing", folder, source))?;
        listed.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        Ok(listed)
    }

    /// Bytes `range` of an object.
    pub async fn range(&self, path: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let full = self.full(path)?;
        let read = self.objects.get_range(&full, range).await;
        read.map_err(|source| object_error("reading", path, source))
    }

    /// Stores `bytes` in place of the object that is there: for what says the same in fewer bytes.
    pub async fn replace(&self, path: &str, bytes: Bytes) -> Result<(), StoreError> {
        if let Some(folder) = &self.folder {
            return folder.replace(path, bytes).await;
        }
        let put = self.objects.put(&self.full(path)?, bytes.into()).await;
        put.map(drop).map_err(|source| object_error("replacing", path, source))
    }

    /// Begins an object of a name that nobody else ever uses, which is written piece by piece.
    pub async fn upload(&self, path: &str) -> Result<Upload, StoreError> {
        if let Some(folder) = &self.folder {
            return Ok(Upload::to_folder(folder.begin(path).await?));
        }
        Ok(Upload::to_objects(Arc::clone(&self.objects), self.full(path)?, path))
    }

    /// Removes what was left half-written below `folder` before `until`.
    pub async fn sweep_older(&self, folder: &str, until: Timestamp) -> Result<(), StoreError> {
        match &self.folder {
            Some(staging) => staging.sweep_older(folder, until).await,
            None => Ok(()),
        }
    }

    /// Removes an object that holds no data that is not stored elsewhere, if it is there.
    pub async fn remove(&self, path: &str) -> Result<(), StoreError> {
        match self.objects.delete(&self.full(path)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(object_error("removing", path, source)),
        }
    }

    /// Removes what a writer of objects that begin with `prefix` left half-written.
    ///
    /// Only for the owner: a writer that still lives fails, and finds what is there.
    pub async fn sweep(&self, prefix: &str) -> Result<(), StoreError> {
        match &self.folder {
            Some(folder) => folder.sweep(prefix).await,
            None => Ok(()),
        }
    }

    fn full(&self, path: &str) -> Result<Path, StoreError> {
        let root = self.root.as_ref();
        let full = if root.is_empty() { path.into() } else { format!("{root}/{path}") };
        Path::parse(full).map_err(|error| object_error("naming", path, error.into()))
    }

    fn relative(&self, location: &Path) -> String {
        let path = location.as_ref();
        let below = path.strip_prefix(self.root.as_ref()).unwrap_or(path);
        below.trim_start_matches('/').into()
    }
}

pub(super) fn object_error(
    attempt: &'static str,
    path: &str,
    source: object_store::Error,
) -> StoreError {
    use object_store::Error::{PermissionDenied, Unauthenticated};
    let path = path.into();
    match source {
        PermissionDenied { .. } | Unauthenticated { .. } => {
            StoreError::Refused { attempt, path, source }
        }
        _ => StoreError::Object { attempt, path, source },
    }
}
