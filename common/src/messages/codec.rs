//! Pure. Between messages and bytes: Avro single-object encoding with one frozen schema per kind, and JSON from people.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::command::{Assign, LeaderAlive, LeaderStarted};
use super::event::{Answer, Heartbeat, Marker, Notice, Refused, Report};
use super::request::{
    Approve, Drain, DryRun, Pause, Resume, StartConsuming, StateQuery, StopConsuming, Unpin,
};
use super::snapshot::Snapshot;

/// Name of the record header that says which kind a message is.
pub const EVENT_TYPE: &str = "event_type";

/// The largest message that is decoded, after its chunks were put together.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Avro's single-object encoding: two bytes, then the schema's fingerprint, little endian.
const MARKER: [u8; 2] = [0xC3, 0x01];
const HEADER_BYTES: usize = 10;

macro_rules! kinds {
    ($($name:ident),* $(,)?) => {
        /// The kinds of messages. A change of a schema is a new kind.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $($name),* }

        impl Kind {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// What the `event_type` header says.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }

            fn schema_text(self) -> &'static str {
                match self {
                    $(Self::$name => include_str!(concat!("schemas/", stringify!($name), ".avsc"))),*
                }
            }
        }

        /// Any message of the controller and events topics.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Message { $($name($name)),* }

        impl Message {
            pub fn kind(&self) -> Kind {
                match self { $(Self::$name(_) => Kind::$name),* }
            }

            /// The bytes of the message; its kind's name belongs into the header [`EVENT_TYPE`].
            pub fn encode(&self) -> Vec<u8> {
                match self { $(Self::$name(message) => encode(Kind::$name, message)),* }
            }

            fn from_avro(kind: Kind, datum: &mut &[u8]) -> Result<Self, apache_avro::Error> {
                match kind { $(Kind::$name => read_avro(kind, datum).map(Self::$name)),* }
            }

            fn from_json(kind: Kind, value: serde_json::Value) -> Result<Self, serde_json::Error> {
                match kind { $(Kind::$name => serde_json::from_value(value).map(Self::$name)),* }
            }
        }

        $(impl From<$name> for Message {
            fn from(message: $name) -> Self {
                Self::$name(message)
            }
        })*
    };
}

kinds!(
    LeaderStarted,
    LeaderAlive,
    Snapshot,
    Assign,
    StartConsuming,
    StopConsuming,
    StateQuery,
    Unpin,
    Pause,
    Resume,
    Drain,
    DryRun,
    Approve,
    Heartbeat,
    Answer,
    Report,
    Notice,
    Refused,
    Marker,
);

/// Why bytes are no message. Each is counted and changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("a message without a value")]
    Empty,
    #[error("{bytes} bytes in one message, at most {MESSAGE_BYTES_MAX} are read")]
    TooLarge { bytes: usize },
    #[error("unknown kind `{0}`")]
    UnknownKind(String),
    #[error("no kind has the schema with the fingerprint {fingerprint:016x}")]
    UnknownSchema { fingerprint: u64 },
    #[error("the header says {header}, the schema is that of {schema}")]
    Mismatch { header: String, schema: &'static str },
    #[error("neither Avro single-object encoding nor a JSON object")]
    Encoding,
    #[error("{bytes} bytes follow the end of {kind}")]
    Trailing { kind: &'static str, bytes: usize },
    #[error("a JSON message needs its kind: a header or a field `{EVENT_TYPE}`")]
    NoKind,
    #[error("failed to read {kind} as Avro")]
    Avro {
        kind: &'static str,
        #[source]
        source: Box<apache_avro::Error>,
    },
    #[error("failed to read JSON")]
    Json(#[source] serde_json::Error),
    #[error("failed to read {kind} as JSON")]
    JsonMessage {
        kind: &'static str,
        #[source]
        source: serde_json::Error,
    },
}

impl DecodeError {
    /// Whether the kind itself is not known, as opposed to a malformed message of a known one.
    pub fn is_unknown_kind(&self) -> bool {
        matches!(self, Self::UnknownKind(_) | Self::UnknownSchema { .. })
    }
}

/// Reads one message; `event_type` is the header's value, if there is one.
pub fn decode(event_type: Option<&str>, payload: &[u8]) -> Result<Message, DecodeError> {
    if payload.len() > MESSAGE_BYTES_MAX {
        return Err(DecodeError::TooLarge { bytes: payload.len() });
    }
    match payload.first() {
        None => Err(DecodeError::Empty),
        Some(&first) if first == MARKER[0] => decode_avro(event_type, payload),
        Some(b'{' | b' ' | b'\t' | b'\r' | b'\n') => decode_json(event_type, payload),
        Some(_) => Err(DecodeError::Encoding),
    }
}

fn decode_avro(event_type: Option<&str>, payload: &[u8]) -> Result<Message, DecodeError> {
    let (header, datum) = payload.split_at_checked(HEADER_BYTES).ok_or(DecodeError::Encoding)?;
    if header[..2] != MARKER {
        return Err(DecodeError::Encoding);
    }
    let fingerprint: [u8; 8] = header[2..].try_into().expect("ten bytes less two");
    let kind = *KIND_BY_FINGERPRINT.get(&fingerprint).ok_or_else(|| {
        DecodeError::UnknownSchema { fingerprint: u64::from_le_bytes(fingerprint) }
    })?;
    if let Some(header) = event_type.filter(|header| *header != kind.name()) {
        return Err(DecodeError::Mismatch { header: header.into(), schema: kind.name() });
    }
    let mut rest = datum;
    let message = Message::from_avro(kind, &mut rest)
        .map_err(|source| DecodeError::Avro { kind: kind.name(), source: Box::new(source) })?;
    if !rest.is_empty() {
        return Err(DecodeError::Trailing { kind: kind.name(), bytes: rest.len() });
    }
    Ok(message)
}

fn decode_json(event_type: Option<&str>, payload: &[u8]) -> Result<Message, DecodeError> {
    let mut fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(payload).map_err(DecodeError::Json)?;
    let field = fields.remove(EVENT_TYPE);
    let named = field.as_ref().and_then(|field| field.as_str()).or(event_type);
    let name = named.ok_or(DecodeError::NoKind)?;
    let kind = Kind::from_name(name).ok_or_else(|| DecodeError::UnknownKind(name.into()))?;
    Message::from_json(kind, serde_json::Value::Object(fields))
        .map_err(|source| DecodeError::JsonMessage { kind: kind.name(), source })
}

fn encode<T: Serialize>(kind: Kind, message: &T) -> Vec<u8> {
    let codec = &CODECS[&kind];
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(&MARKER);
    bytes.extend_from_slice(&codec.fingerprint);
    let value = to_avro(message).resolve(codec.schema);
    let value = value.expect("every message fits the schema of its kind");
    codec.writer.write_value_ref(&mut bytes, &value).expect("memory takes what is written");
    bytes
}

/// By way of JSON's data model, in which an unsigned number is a number: Avro has none, and its
/// serializer would write `u64` as a fixed type of Rust's own.
fn to_avro<T: Serialize>(message: &T) -> Value {
    from_json(serde_json::to_value(message).expect("messages have nothing that JSON lacks"))
}

fn from_json(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(flag) => Value::Boolean(flag),
        serde_json::Value::Number(number) => {
            Value::Long(number.as_i64().expect("messages have integers below 2^63 only"))
        }
        serde_json::Value::String(text) => Value::String(text),
        serde_json::Value::Array(items) => Value::Array(items.into_iter().map(from_json).collect()),
        serde_json::Value::Object(fields) => {
            Value::Map(fields.into_iter().map(|(name, value)| (name, from_json(value))).collect())
        }
    }
}

/// Reads one datum and leaves in `rest` what follows it.
fn read_avro<T: DeserializeOwned>(kind: Kind, rest: &mut &[u8]) -> Result<T, apache_avro::Error> {
    apache_avro::from_value(&CODECS[&kind].reader.read_value(rest)?)
}

/// A kind's frozen schema with what reads and writes it: made once, used for every message.
struct Codec {
    schema: &'static Schema,
    fingerprint: [u8; 8],
    reader: GenericDatumReader<'static>,
    writer: GenericDatumWriter<'static>,
}

static SCHEMAS: LazyLock<BTreeMap<Kind, Schema>> = LazyLock::new(|| {
    apache_avro::util::max_allocation_bytes(MESSAGE_BYTES_MAX);
    let parse = |kind: &Kind| {
        let schema = Schema::parse_str(kind.schema_text()).expect("a frozen schema is valid");
        (*kind, schema)
    };
    Kind::ALL.iter().map(parse).collect()
});

static CODECS: LazyLock<BTreeMap<Kind, Codec>> = LazyLock::new(|| {
    let codec = |(kind, schema): (&Kind, &'static Schema)| {
        let fingerprint = schema.fingerprint::<Rabin>().bytes;
        let codec = Codec {
            schema,
            fingerprint: fingerprint.try_into().expect("Rabin fingerprints have eight bytes"),
            reader: GenericDatumReader::builder(schema).build().expect("a schema resolves"),
            writer: GenericDatumWriter::builder(schema).build().expect("a schema resolves"),
        };
        (*kind, codec)
    };
    SCHEMAS.iter().map(codec).collect()
});

static KIND_BY_FINGERPRINT: LazyLock<BTreeMap<[u8; 8], Kind>> =
    LazyLock::new(|| CODECS.iter().map(|(kind, codec)| (codec.fingerprint, *kind)).collect());

impl Kind {
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}
