//! Pure. What later owners need of a writer: the stream to end, and where its rows begin.

use std::fmt;

use common::identity::{TableId, TopicId};

/// The fence token of a writer: `OFFSET TOPIC_ID TABLE_ID NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// No row of the stream is of an earlier Kafka offset; what is below was stored before, or is gone.
    pub from: u64,
    /// Whose offset that is, and in which table; `None` if the token does not say it.
    pub of: Option<(TopicId, TableId)>,
    /// The whole name of the write stream.
    pub stream: String,
}

/// What a writer appends to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Its own, at explicit offsets.
    Own(Token),
    /// The table's, which all share, by its whole name: rows may be there twice.
    Default(String),
    /// None: rows are inserted into the table. `ids` is what stands before an offset in their insert ids.
    Inserts { table: String, ids: String },
}

impl Stream {
    /// What others need to know of it, if they have to end it.
    pub fn token(&self) -> Option<String> {
        match self {
            Self::Own(token) => Some(token.to_string()),
            Self::Default(_) | Self::Inserts { .. } => None,
        }
    }

    /// Its whole name, or that of the table.
    pub fn name(&self) -> &str {
        match self {
            Self::Own(token) => &token.stream,
            Self::Default(name) => name,
            Self::Inserts { table, .. } => table,
        }
    }

    /// Whether each row has its place in it.
    pub fn has_offsets(&self) -> bool {
        matches!(self, Self::Own(_))
    }
}

impl Token {
    /// Whatever else it is, it names a stream: better one to end too many.
    pub fn parse(text: &str) -> Self {
        let parsed = (|| {
            let mut parts = text.splitn(4, ' ');
            let from = parts.next()?.parse().ok()?;
            let topic_id = TopicId(parts.next()?.parse().ok()?);
            let table_id = TableId(parts.next()?.parse().ok()?);
            Some(Self { from, of: Some((topic_id, table_id)), stream: parts.next()?.into() })
        })();
        parsed.unwrap_or_else(|| Self { from: 0, of: None, stream: text.into() })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, of, stream } = self;
        match of {
            Some((TopicId(topic_id), TableId(table_id))) => {
                write!(formatter, "{from} {topic_id} {table_id} {stream}")
            }
            None => write!(formatter, "{stream}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_token_is_read_back() {
        let of = Some((TopicId(Uuid::from_u128(1)), TableId(Uuid::from_u128(2))));
        let token =
            Token { from: 17, of, stream: "projects/p/datasets/d/tables/t/streams/Cg x".into() };
        assert_eq!(Token::parse(&token.to_string()), token);
        let bare = "projects/p/datasets/d/tables/t/streams/x";
        let token = Token { from: 0, of: None, stream: bare.into() };
        assert_eq!(Token::parse(bare), token);
        assert_eq!(Token::parse(&token.to_string()), token);
    }
}
