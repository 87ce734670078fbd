//! IO. The client, connected, and what all of its calls share: time-outs, tokens, trying again.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use common::backoff::Backoff;
use gcp_bigquery_client::client_builder::ClientBuilder;
use gcp_bigquery_client::google::cloud::bigquery::storage::v1 as storage;
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use storage::big_query_write_client::BigQueryWriteClient;
use tokio::time::{sleep, timeout};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tracing::debug;
use url::form_urlencoded;

use super::call_error::{Call, CallError, Kind};
use super::channels::Channels;
use super::credentials::token_source;
use super::options::BigQueryOptions;
use super::shared_append::SharedConnections;
use super::tokens::Tokens;

/// An answer may hold the columns of a table, of which there are up to 10,000.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// Calls of one dataset. Clones share connections and tokens.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    options: BigQueryOptions,
    rest: gcp_bigquery_client::Client,
    http: reqwest::Client,
    channels: Channels,
    shared: SharedConnections,
    tokens: Tokens,
    /// Makes the jitter of each call.
    rng: Mutex<ChaCha8Rng>,
}

impl Client {
    /// Checks options and credentials, and asks BigQuery nothing yet.
    ///
    /// # Errors
    /// With a sentence about the option, file or address that cannot be used.
    pub async fn connect(options: BigQueryOptions, rng: ChaCha8Rng) -> Result<Self, CallError> {
        options.check()?;
        let tokens = Tokens::new(token_source(&options.credentials).await?);
        let mut builder = ClientBuilder::new();
        builder.with_v2_base_url(options.rest_url());
        let rest = builder.build_from_authenticator(Arc::new(tokens.clone())).await;
        let rest = rest.map_err(|error| CallError::of_client(Call::Connect, "", &error))?;
        let http = reqwest::Client::builder().connect_timeout(options.patience.connect).build();
        let http = http.map_err(|error| {
            let causes = common::chain::Chain(&error).to_string();
            CallError::settings(format!("no HTTP client can be made: {causes}"))
        })?;
        let channels = Channels::new(&options)?;
        let (shared, rng) = (SharedConnections::default(), Mutex::new(rng));
        Ok(Self(Arc::new(Inner { options, rest, http, channels, shared, tokens, rng })))
    }

    pub fn options(&self) -> &BigQueryOptions {
        &self.0.options
    }

    /// How many connections of gRPC there are.
    pub fn channels(&self) -> usize {
        self.0.channels.count()
    }

    pub(super) fn rest(&self) -> &gcp_bigquery_client::Client {
        &self.0.rest
    }

    pub(super) fn http(&self) -> &reqwest::Client {
        &self.0.http
    }

    pub(super) fn pool(&self) -> &Channels {
        &self.0.channels
    }

    pub(super) fn shared(&self) -> &SharedConnections {
        &self.0.shared
    }

    pub(super) fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    /// One attempt, bounded.
    pub(super) async fn once<T>(
        &self,
        call: Call,
        subject: &str,
        attempt: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let limit = self.0.options.patience.answer;
        let silent =
            |_| CallError::unknown(call, subject, format!("there was no answer within {limit:?}"));
        let outcome = timeout(limit, attempt).await.map_err(silent).flatten();
        if outcome.as_ref().is_err_and(|error| error.kind == Kind::Unauthenticated) {
            self.0.tokens.refuse_last();
        }
        outcome
    }

    /// Attempts of what may be done twice, until one succeeds, fails for good, or it is too late for
    /// another.
    pub(super) async fn again<T, F>(
        &self,
        call: Call,
        subject: &str,
        attempt: impl Fn() -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let mut too_late = pin!(sleep(self.0.options.patience.retries));
        let mut backoff = self.backoff();
        loop {
            let error = match self.once(call, subject, attempt()).await {
                Err(error) if error.is_transient() => error,
                outcome => return outcome,
            };
            debug!(%error, "a call of BigQuery failed, and is tried again");
            tokio::select! {
                biased;
                () = &mut too_late => return Err(error),
                () = sleep(backoff.next_delay()) => {}
            }
        }
    }

    fn backoff(&self) -> Backoff {
        let mut rng = self.0.rng.lock().unwrap_or_else(PoisonError::into_inner);
        Backoff::new(self.0.options.patience.backoff, ChaCha8Rng::from_rng(&mut *rng))
    }

    /// With the token, and with what the service routes the call by.
    pub(super) async fn request<M>(
        &self,
        message: M,
        (key, value): (&str, &str),
    ) -> Result<tonic::Request<M>, gcp_bigquery_client::error::BQError> {
        let mut request = tonic::Request::new(message);
        let encoded: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
        let params = format!("{key}={}", encoded.replace('+', "%20"));
        let metadata = request.metadata_mut();
        metadata.insert("x-goog-request-params", params.parse()?);
        if let Some(token) = self.0.tokens.token().await? {
            let mut bearer: MetadataValue<_> = format!("Bearer {token}").parse()?;
            bearer.set_sensitive(true);
            metadata.insert("authorization", bearer);
        }
        Ok(request)
    }
}

pub(super) fn write_client(channel: Channel) -> BigQueryWriteClient<Channel> {
    BigQueryWriteClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("options", &self.0.options).finish_non_exhaustive()
    }
}
