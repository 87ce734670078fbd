//! IO. One connection to one broker: encrypted and logged in as the settings say, one request at a
//! time.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::{ApiVersionsRequest, SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::kafka::security::SaslSettings;
use crate::kafka::wire::call::Call;
use crate::kafka::wire::frame::{self, CallId, FrameError, SIZE_BYTES};
use crate::kafka::wire::login::{Login, LoginError};

/// Connecting, encryption and login together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A broker that is paused holds a request for as long as we wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Error)]
pub enum ConnectionError {
    #[error("failed to connect to {address}")]
    Connect {
        address: Address,
        #[source]
        source: io::Error,
    },
    #[error("{address} did not answer within {} s", CONNECT_TIMEOUT.as_secs())]
    ConnectTimeout { address: Address },
    #[error("{address} is no name that a certificate could have")]
    ServerName { address: Address },
    #[error("failed to agree on encryption with {address}")]
    Encrypt {
        address: Address,
        #[source]
        source: io::Error,
    },
    #[error("failed to log in at {address}")]
    Login {
        address: Address,
        #[source]
        source: LoginError,
    },
    #[error("{address} refused the login: {reason}")]
    LoginRefused { address: Address, reason: String },
    #[error("failed to send {call} to {address}")]
    Send {
        call: &'static str,
        address: Address,
        #[source]
        source: io::Error,
    },
    #[error("failed to receive the answer of {address} to {call}")]
    Receive {
        call: &'static str,
        address: Address,
        #[source]
        source: io::Error,
    },
    #[error("{address} did not answer {call} within {} s", ANSWER_TIMEOUT.as_secs())]
    AnswerTimeout { call: &'static str, address: Address },
    #[error("failed to understand the answer of {address} to {call}")]
    Answer {
        call: &'static str,
        address: Address,
        #[source]
        source: FrameError,
    },
    #[error("{address} knows no version of {call} that we do: Kafka 2.8 or later is needed")]
    Version { call: &'static str, address: Address },
}

impl ConnectionError {
    /// Whether the same may succeed later, with nobody changing settings.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Send { .. }
            | Self::Receive { .. }
            | Self::AnswerTimeout { .. } => true,
            Self::ServerName { .. }
            | Self::Encrypt { .. }
            | Self::Login { .. }
            | Self::LoginRefused { .. }
            | Self::Answer { .. }
            | Self::Version { .. } => false,
        }
    }
}

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// How connections are made, the same way to every broker.
pub(crate) struct Dialer {
    pub(crate) client_id: String,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) sasl: Option<SaslSettings>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection on which requests can be made. After an error, or a request whose answer nobody
/// waited for, it is of no more use.
pub(crate) struct Connection {
    address: Address,
    client_id: String,
    stream: Box<dyn Stream>,
    correlation: i32,
    versions: BTreeMap<i16, (i16, i16)>,
}

impl Dialer {
    pub(crate) async fn connect(&self, address: &Address) -> Result<Connection, ConnectionError> {
        match timeout(CONNECT_TIMEOUT, self.connect_patiently(address)).await {
            Ok(connected) => connected,
            Err(_) => Err(ConnectionError::ConnectTimeout { address: address.clone() }),
        }
    }

    async fn connect_patiently(&self, address: &Address) -> Result<Connection, ConnectionError> {
        let mut connection = Connection {
            address: address.clone(),
            client_id: self.client_id.clone(),
            stream: self.open(address).await?,
            correlation: 0,
            versions: BTreeMap::new(),
        };
        connection.learn_versions().await?;
        if let Some(sasl) = &self.sasl {
            connection.log_in(sasl).await?;
        }
        Ok(connection)
    }

    async fn open(&self, address: &Address) -> Result<Box<dyn Stream>, ConnectionError> {
        let failed = |source| ConnectionError::Connect { address: address.clone(), source };
        let stream =
            TcpStream::connect((address.host.as_str(), address.port)).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::try_from(address.host.clone())
            .map_err(|_| ConnectionError::ServerName { address: address.clone() })?;
        let encrypted = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
        let failed = |source| ConnectionError::Encrypt { address: address.clone(), source };
        Ok(Box::new(encrypted.map_err(failed)?))
    }
}

impl Connection {
    /// Makes a request in the highest version that both sides know, and waits for its answer.
    pub(crate) async fn call<C: Call>(
        &mut self,
        request: &C,
    ) -> Result<(C::Answer, i16), ConnectionError> {
        let (min, max) = self.versions.get(&(C::KEY as i16)).copied().unwrap_or((0, -1));
        let version = max.min(*C::VERSIONS.end());
        if version < min.max(*C::VERSIONS.start()) {
            let address = self.address.clone();
            return Err(ConnectionError::Version { call: C::NAME, address });
        }
        let answer = self.exchange(request, version).await?;
        Ok((answer, version))
    }

    async fn learn_versions(&mut self) -> Result<(), ConnectionError> {
        let answer = self.exchange(&ApiVersionsRequest::default(), 0).await?;
        let versions = answer.api_keys.iter();
        self.versions =
            versions.map(|api| (api.api_key, (api.min_version, api.max_version))).collect();
        Ok(())
    }

    async fn exchange<C: Call>(
        &mut self,
        request: &C,
        version: i16,
    ) -> Result<C::Answer, ConnectionError> {
        self.correlation = self.correlation.wrapping_add(1);
        let id = CallId { version, correlation: self.correlation };
        let (call, address) = (C::NAME, self.address.clone());
        let understood = |source| ConnectionError::Answer { call, address, source };
        let frame = match frame::encode(request, id, &self.client_id) {
            Ok(frame) => frame,
            Err(error) => return Err(understood(error)),
        };
        let exchange = self.send_and_receive(C::NAME, &frame);
        let answer = match timeout(ANSWER_TIMEOUT, exchange).await {
            Ok(answer) => answer?,
            Err(_) => {
                let address = self.address.clone();
                return Err(ConnectionError::AnswerTimeout { call, address });
            }
        };
        frame::decode::<C>(answer, id).map_err(understood)
    }

    async fn send_and_receive(
        &mut self,
        call: &'static str,
        frame: &[u8],
    ) -> Result<Bytes, ConnectionError> {
        let address = &self.address;
        let not_sent = |source| ConnectionError::Send { call, address: address.clone(), source };
        let not_received =
            |source| ConnectionError::Receive { call, address: address.clone(), source };
        self.stream.write_all(frame).await.map_err(not_sent)?;
        self.stream.flush().await.map_err(not_sent)?;
        let mut announced = [0; SIZE_BYTES];
        self.stream.read_exact(&mut announced).await.map_err(not_received)?;
        let size = frame::frame_size(announced).map_err(|source| ConnectionError::Answer {
            call,
            address: address.clone(),
            source,
        })?;
        // Grows with what really comes, not with what was announced.
        let mut answer = Vec::new();
        let announced = u64::try_from(size).unwrap_or(u64::MAX);
        (&mut self.stream).take(announced).read_to_end(&mut answer).await.map_err(not_received)?;
        if answer.len() < size {
            return Err(not_received(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(answer.into())
    }

    async fn log_in(&mut self, settings: &SaslSettings) -> Result<(), ConnectionError> {
        let mechanism = StrBytes::from_static_str(settings.mechanism.name());
        let handshake = SaslHandshakeRequest::default().with_mechanism(mechanism);
        let (answer, _) = self.call(&handshake).await?;
        if let Some(error) = answer.error_code.err() {
            let offered: Vec<_> = answer.mechanisms.iter().map(StrBytes::as_str).collect();
            let reason = format!("{error}, the broker offers {}", offered.join(", "));
            return Err(self.login_refused(reason));
        }
        let address = self.address.clone();
        let failed = |source| ConnectionError::Login { address: address.clone(), source };
        let mut login = Login::begin(settings).map_err(failed)?;
        let mut next = Some(login.first().map_err(failed)?);
        while let Some(message) = next {
            let challenge = self.authenticate(message).await?;
            next = login.answer(&challenge).map_err(failed)?;
        }
        Ok(())
    }

    async fn authenticate(&mut self, message: Vec<u8>) -> Result<Bytes, ConnectionError> {
        let request = SaslAuthenticateRequest::default().with_auth_bytes(message.into());
        let (answer, _) = self.call(&request).await?;
        match answer.error_code.err() {
            None => Ok(answer.auth_bytes),
            Some(error) => {
                let said = answer.error_message.as_deref().map(str::to_owned);
                Err(self.login_refused(said.unwrap_or_else(|| describe(error))))
            }
        }
    }

    fn login_refused(&self, reason: String) -> ConnectionError {
        ConnectionError::LoginRefused { address: self.address.clone(), reason }
    }
}

fn describe(error: ResponseError) -> String {
    error.to_string()
}
