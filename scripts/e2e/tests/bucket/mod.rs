//! A place of its own for each test on an object store's server, and a proxy on the way there that loses answers.

use std::collections::BTreeMap;
use std::env;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use consumer::sink::store::Store;
use e2e::lake::store::Lake;
use url::Url;

/// The key of Azurite's account, which everybody knows.
const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

#[derive(Clone, Copy)]
enum Kind {
    S3,
    Azure,
}

pub(crate) struct Bucket {
    kind: Kind,
    endpoint: String,
    url: Url,
}

impl Bucket {
    /// `None` without a server: the test skips itself and says so; in CI that is a failure.
    pub(crate) fn open(test: &str) -> Option<Self> {
        let server = |name, kind, scheme| Some((kind, scheme, env::var(name).ok()?));
        let known = server("STOWAGE_TEST_S3", Kind::S3, "s3")
            .or_else(|| server("STOWAGE_TEST_AZURE", Kind::Azure, "az"));
        let Some((kind, scheme, endpoint)) = known else {
            let is_ci = env::var("CI").is_ok_and(|value| value == "true");
            assert!(!is_ci, "no object store's server is set: {test} cannot be skipped");
            eprintln!(
                "SKIPPED: {test}: neither STOWAGE_TEST_S3 (scripts/object-store.sh up) nor STOWAGE_TEST_AZURE \
                 (scripts/azure-store.sh up) names a server"
            );
            return None;
        };
        let at = common::clock::Clock.timestamp().0;
        let url = format!("{scheme}://lake/{test}-{at}-{}", std::process::id());
        Some(Self { kind, endpoint, url: Url::parse(&url).unwrap() })
    }

    pub(crate) fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The setting that is nobody's business.
    pub(crate) fn secret_key(&self) -> &'static str {
        match self.kind {
            Kind::S3 => "aws_secret_access_key",
            Kind::Azure => "azure_storage_account_key",
        }
    }

    /// Settings with which the server is reached; in capitals they are variables of the environment.
    pub(crate) fn options(&self) -> BTreeMap<String, String> {
        self.options_at(&self.endpoint)
    }

    fn options_at(&self, endpoint: &str) -> BTreeMap<String, String> {
        let (options, secret): (&[_], _) = match self.kind {
            Kind::S3 => (
                &[
                    ("aws_endpoint", endpoint),
                    ("aws_allow_http", "true"),
                    ("aws_region", "us-east-1"),
                    ("aws_access_key_id", "test-access"),
                ],
                "test-secret",
            ),
            Kind::Azure => (
                &[
                    ("azure_storage_endpoint", endpoint),
                    ("azure_allow_http", "true"),
                    ("azure_storage_account_name", "devstoreaccount1"),
                ],
                AZURITE_KEY,
            ),
        };
        let all = options.iter().copied().chain([(self.secret_key(), secret)]);
        all.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    pub(crate) async fn store(&self) -> Store {
        self.store_at(&self.endpoint).await
    }

    pub(crate) async fn store_at(&self, endpoint: &str) -> Store {
        Store::open(&self.url, &self.options_at(endpoint)).await.unwrap()
    }

    pub(crate) fn lake(&self) -> Lake {
        Lake::open(self.url.as_str(), &self.options()).unwrap()
    }

    /// A file of settings as a user writes it, with the secret in a file of its own.
    pub(crate) fn settings(&self, folder: &Path, endpoint: &str) -> PathBuf {
        let (settings, secret) = (folder.join("store.properties"), folder.join("secret"));
        let mut options = self.options_at(endpoint);
        let key = self.secret_key();
        std::fs::write(&secret, options.remove(key).unwrap() + "\n").unwrap();
        let mut text = format!("{key}.file={}\n", secret.display());
        for (key, value) in options {
            text += &format!("{key}={value}\n");
        }
        std::fs::write(&settings, text).unwrap();
        settings
    }
}

/// Passes requests on, and of each so many puts it loses the answer: the connection ends instead.
pub(crate) struct LosingProxy {
    endpoint: String,
    pub(crate) lost: Arc<AtomicU32>,
}

impl LosingProxy {
    /// Loses the answer of the first put and of every `each`-th after it; of the first alone for 1.
    pub(crate) fn start(endpoint: &str, each: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let lost = Arc::new(AtomicU32::new(0));
        let (counted, puts) = (Arc::clone(&lost), Arc::new(AtomicU32::new(0)));
        let url = Url::parse(endpoint).unwrap();
        let server = url.socket_addrs(|| None).unwrap()[0];
        let endpoint = format!("http://{address}{}", url.path().trim_end_matches('/'));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (lost, puts) = (Arc::clone(&counted), Arc::clone(&puts));
                std::thread::spawn(move || {
                    let is_lost = || {
                        let put = puts.fetch_add(1, Ordering::Relaxed);
                        let is_lost = if each == 1 { put == 0 } else { put % each == 0 };
                        lost.fetch_add(u32::from(is_lost), Ordering::Relaxed);
                        is_lost
                    };
                    // A connection that breaks is the client's to notice.
                    let _ = serve(client, server, is_lost);
                });
            }
        });
        Self { endpoint, lost }
    }

    pub(crate) fn endpoint(&self) -> String {
        self.endpoint.clone()
    }
}

/// One request after the other, each on a connection of its own to the server.
fn serve(
    mut client: TcpStream,
    server: SocketAddr,
    is_lost: impl Fn() -> bool,
) -> std::io::Result<()> {
    let mut kept = Vec::new();
    while let Some(request) = message(&mut client, &mut kept, true)? {
        let mut connection = TcpStream::connect(server)?;
        connection.write_all(&request)?;
        let is_head = request.starts_with(b"HEAD ");
        let is_put = request.starts_with(b"PUT ");
        let mut rest = Vec::new();
        let answer = message(&mut connection, &mut rest, !is_head)?;
        if is_put && is_lost() {
            return Ok(());
        }
        client.write_all(&answer.unwrap_or_default())?;
    }
    Ok(())
}

/// A whole message with its body, as it came; `None` at the end of the connection.
fn message(
    from: &mut TcpStream,
    kept: &mut Vec<u8>,
    has_body: bool,
) -> std::io::Result<Option<Vec<u8>>> {
    let mut buffer = [0; 64 << 10];
    loop {
        if let Some(end) = kept.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&kept[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
            let chunked = head.contains("transfer-encoding: chunked");
            let whole = end + 4 + if has_body { length } else { 0 };
            let is_whole = if chunked && has_body {
                kept.ends_with(b"0\r\n\r\n")
            } else {
                kept.len() >= whole
            };
            if is_whole {
                let size = if chunked && has_body { kept.len() } else { whole };
                return Ok(Some(kept.drain(..size).collect()));
            }
        }
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(None);
        }
        kept.extend_from_slice(&buffer[..count]);
    }
}
