//! Pure. The names of things that must never be mistaken for one another: consumers, their lives, topics, tables.

use std::fmt;
use std::str::FromStr;

use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One reader of the group, numbered from 1; it reads partition n of the controller topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConsumerId(pub u32);

impl fmt::Display for ConsumerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "consumer {}", self.0)
    }
}

/// Text that does not name what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, got `{text}`")]
pub struct IdentityError {
    expected: &'static str,
    text: String,
}

/// Kafka's id of a topic: a topic that was deleted and created again under its name has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TopicId(pub Uuid);

/// The id that a table got when a group claimed it: an emptied and claimed-anew table has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TableId(pub Uuid);

macro_rules! uuid_identity {
    ($name:ident, $expected:literal) => {
        impl $name {
            pub fn from_rng(rng: &mut impl Rng) -> Self {
                Self(uuid::Builder::from_random_bytes(rng.random()).into_uuid())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdentityError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let parsed = Uuid::parse_str(text).map(Self);
                parsed.map_err(|_| IdentityError { expected: $expected, text: text.into() })
            }
        }
    };
}

macro_rules! text_conversions {
    ($name:ident) => {
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdentityError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
    };
}

text_conversions!(TopicId);
text_conversions!(TableId);
text_conversions!(Incarnation);
text_conversions!(Nonce);

uuid_identity!(TopicId, "a topic id (a UUID)");
uuid_identity!(TableId, "a table id (a UUID)");

/// One life of a consumer process: 128 random bits, drawn at every start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Incarnation(pub u128);

/// 128 random bits by which a writer recognises what it wrote itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Nonce(pub u128);

macro_rules! hex_identity {
    ($name:ident, $expected:literal) => {
        impl $name {
            pub fn from_rng(rng: &mut impl Rng) -> Self {
                Self(rng.random())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:032x})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdentityError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
                let parsed = is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten();
                parsed
                    .map(Self)
                    .ok_or_else(|| IdentityError { expected: $expected, text: text.into() })
            }
        }
    };
}

hex_identity!(Incarnation, "an incarnation (32 hexadecimal digits)");
hex_identity!(Nonce, "a nonce (32 hexadecimal digits)");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        let incarnation = Incarnation(0xfe);
        assert_eq!(incarnation.to_string().parse(), Ok(incarnation));
        let id = TopicId(Uuid::from_u128(7));
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn other_text_is_refused_by_name() {
        let error = "+0000000000000000000000000000fe".parse::<Incarnation>().unwrap_err();
        assert!(error.to_string().starts_with("expected an incarnation (32 hexadecimal digits)"));
        assert!("orders".parse::<TopicId>().is_err());
    }
}
