//! IO. An object that is too large to be held in memory: written piece by piece, there when it is whole.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _};

use super::folder::Staged;
use super::store::{StoreError, object_error};

/// Size of the parts that go to an object store; all but the last are alike, as some stores ask for.
const PART_BYTES: usize = 8 << 20;

/// Its name must be nobody else's: unlike a put it cannot ask for a condition.
#[derive(Debug)]
pub struct Upload(Way);

#[derive(Debug)]
enum Way {
    Folder(Staged),
    Objects(Parts),
}

#[derive(Debug)]
struct Parts {
    objects: Arc<dyn ObjectStore>,
    full: Path,
    path: String,
    gathered: BytesMut,
    begun: Option<Box<dyn MultipartUpload>>,
}

impl Upload {
    pub(super) fn to_folder(staged: Staged) -> Self {
        Self(Way::Folder(staged))
    }

    pub(super) fn to_objects(objects: Arc<dyn ObjectStore>, full: Path, path: &str) -> Self {
        let (gathered, begun) = (BytesMut::new(), None);
        Self(Way::Objects(Parts { objects, full, path: path.into(), gathered, begun }))
    }

    pub async fn append(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        match &mut self.0 {
            Way::Folder(staged) => staged.append(bytes).await,
            Way::Objects(parts) => parts.append(&bytes).await,
        }
    }

    /// Durable when it returns.
    pub async fn finish(self) -> Result<(), StoreError> {
        match self.0 {
            Way::Folder(staged) => staged.finish().await,
            Way::Objects(parts) => parts.finish().await,
        }
    }

    /// Leaves nothing behind, as far as that is possible.
    pub async fn abort(self) {
        if let Way::Objects(Parts { begun: Some(mut begun), .. }) = self.0 {
            // The store's own rules remove parts that nobody completes.
            let _ = begun.abort().await;
        }
    }
}

impl Parts {
    async fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.gathered.extend_from_slice(bytes);
        while self.gathered.len() >= PART_BYTES {
            let part = self.gathered.split_to(PART_BYTES).freeze();
            self.send(part).await?;
        }
        Ok(())
    }

    async fn send(&mut self, part: Bytes) -> Result<(), StoreError> {
        let sent = async {
            if self.begun.is_none() {
                self.begun = Some(self.objects.put_multipart(&self.full).await?);
            }
            match &mut self.begun {
                Some(begun) => begun.put_part(part.into()).await,
                None => Ok(()),
            }
        };
        sent.await.map_err(|source| object_error("writing", &self.path, source))
    }

    async fn finish(mut self) -> Result<(), StoreError> {
        let rest = self.gathered.split().freeze();
        if self.begun.is_some() && !rest.is_empty() {
            self.send(rest.clone()).await?;
        }
        let finished = async {
            match &mut self.begun {
                Some(begun) => begun.complete().await.map(drop),
                None => self.objects.put(&self.full, rest.into()).await.map(drop),
            }
        };
        finished.await.map_err(|source| object_error("putting", &self.path, source))
    }
}
