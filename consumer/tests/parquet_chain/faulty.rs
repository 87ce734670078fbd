//! An object store in memory that answers late, not at all, or with a failure after it did what it was asked.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

/// How often things go wrong, in percent of the calls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// The call fails and did nothing.
    pub(crate) refused: u32,
    /// The call fails and was carried out.
    pub(crate) answer_lost: u32,
    /// The call takes a long while before it is carried out.
    pub(crate) delayed: u32,
}

/// The store, shared by all owners of a simulation; each may see other faults.
#[derive(Clone, Debug)]
pub(crate) struct Faulty {
    pub(crate) objects: Arc<InMemory>,
    faults: Faults,
    rng: Arc<Mutex<ChaCha8Rng>>,
    /// An object store gateway that ignores the condition.
    pub(crate) overwrites: bool,
}

impl Faulty {
    pub(crate) fn new(objects: Arc<InMemory>, faults: Faults, seed: u64) -> Self {
        let rng = Arc::new(Mutex::new(ChaCha8Rng::seed_from_u64(seed)));
        Self { objects, faults, rng, overwrites: false }
    }

    fn happens(&self, percent: u32) -> bool {
        self.rng.lock().unwrap().random_range(0..100) < percent
    }

    fn millis(&self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.rng.lock().unwrap().random_range(range))
    }

    async fn before(&self) -> Result<()> {
        let delay = if self.happens(self.faults.delayed) { 200..5_000 } else { 0..20 };
        tokio::time::sleep(self.millis(delay)).await;
        if self.happens(self.faults.refused) { Err(failure("refused")) } else { Ok(()) }
    }

    async fn after(&self) -> Result<()> {
        tokio::time::sleep(self.millis(0..20)).await;
        if self.happens(self.faults.answer_lost) { Err(failure("answer lost")) } else { Ok(()) }
    }
}

fn failure(text: &'static str) -> object_store::Error {
    object_store::Error::Generic { store: "faulty", source: text.into() }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        path: &Path,
        bytes: PutPayload,
        mut options: PutOptions,
    ) -> Result<PutResult> {
        assert_eq!(options.mode, PutMode::Create, "objects are never overwritten");
        if self.overwrites {
            options.mode = PutMode::Overwrite;
        }
        self.before().await?;
        let put = self.objects.put_opts(path, bytes, options).await;
        self.after().await?;
        put
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        unreachable!("completing a multipart upload may overwrite")
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.before().await?;
        self.objects.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        let list = async move {
            store.before().await?;
            let found: Vec<_> = store.objects.list(prefix.as_ref()).try_collect().await?;
            Ok::<_, object_store::Error>(futures::stream::iter(found.into_iter().map(Ok)))
        };
        futures::stream::once(list).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}
