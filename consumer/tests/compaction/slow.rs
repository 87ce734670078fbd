//! An object store in memory that takes its time by a clock of its own, fails now and then after or
//! before it did what it was asked, and tells when objects came.

use std::collections::BTreeMap;
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
    ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::Instant;

/// What all share: the objects, when they came, and when time began.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) objects: Arc<InMemory>,
    stored_ms: Arc<Mutex<BTreeMap<Path, u64>>>,
    began: Instant,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "the paused clock of the test's runtime")]
    pub(crate) fn new() -> Self {
        Self { objects: Arc::default(), stored_ms: Arc::default(), began: Instant::now() }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap()
    }
}

/// How the store treats one of those who use it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manners {
    pub(crate) delay_ms: u64,
    /// In percent of the calls: it fails and did nothing, or did it.
    pub(crate) refused: u32,
    pub(crate) answer_lost: u32,
    /// In tenths of a percent: the caller is frozen for so long.
    pub(crate) frozen: u32,
    pub(crate) frozen_ms: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Slow {
    pub(crate) world: World,
    manners: Manners,
    rng: Arc<Mutex<ChaCha8Rng>>,
}

impl Slow {
    pub(crate) fn new(world: &World, manners: Manners, seed: u64) -> Self {
        let rng = Arc::new(Mutex::new(ChaCha8Rng::seed_from_u64(seed)));
        Self { world: world.clone(), manners, rng }
    }

    fn draw(&self, range: Range<u64>) -> u64 {
        if range.is_empty() { range.start } else { self.rng.lock().unwrap().random_range(range) }
    }

    async fn before(&self) -> Result<()> {
        let is_frozen = self.draw(0..1_000) < u64::from(self.manners.frozen);
        let frozen = if is_frozen { self.draw(0..self.manners.frozen_ms) } else { 0 };
        let delay = self.draw(0..self.manners.delay_ms) + frozen;
        tokio::time::sleep(Duration::from_millis(delay)).await;
        let is_refused = self.draw(0..100) < u64::from(self.manners.refused);
        if is_refused { Err(failure("refused")) } else { Ok(()) }
    }

    async fn after(&self) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(self.draw(0..self.manners.delay_ms))).await;
        let is_lost = self.draw(0..100) < u64::from(self.manners.answer_lost);
        if is_lost { Err(failure("answer lost")) } else { Ok(()) }
    }

    fn dated(&self, mut meta: ObjectMeta) -> ObjectMeta {
        let stored = self.world.stored_ms.lock().unwrap().get(&meta.location).copied();
        meta.last_modified = Default::default();
        meta.last_modified += Duration::from_millis(stored.unwrap_or(0));
        meta
    }
}

fn failure(text: &'static str) -> object_store::Error {
    object_store::Error::Generic { store: "slow", source: text.into() }
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("slow")
    }
}

#[async_trait]
impl ObjectStore for Slow {
    async fn put_opts(
        &self,
        path: &Path,
        bytes: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let is_new = self.world.objects.head(path).await.is_err();
        let is_merged = path.as_ref().starts_with("_compacted/");
        let may_replace = is_merged || path.as_ref().contains("/partition=");
        assert!(options.mode == PutMode::Create || may_replace, "{path} is overwritten");
        assert!(!is_merged || is_new, "{path} is written twice");
        self.before().await?;
        let put = self.world.objects.put_opts(path, bytes, options).await;
        if put.is_ok() {
            let now = self.world.now_ms();
            self.world.stored_ms.lock().unwrap().insert(path.clone(), now);
        }
        self.after().await?;
        put
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        unreachable!("files of a test are small")
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.before().await?;
        self.world.objects.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let slow = self.clone();
        let paths = paths.and_then(move |path| {
            let slow = slow.clone();
            async move { slow.before().await.map(|()| path) }
        });
        self.world.objects.delete_stream(paths.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (slow, prefix) = (self.clone(), prefix.cloned());
        let list = async move {
            slow.before().await?;
            let found: Vec<_> = slow.world.objects.list(prefix.as_ref()).try_collect().await?;
            let dated: Vec<_> = found.into_iter().map(|meta| Ok(slow.dated(meta))).collect();
            Ok::<_, object_store::Error>(futures::stream::iter(dated))
        };
        futures::stream::once(list).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.world.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.world.objects.copy_opts(from, to, options).await
    }
}
