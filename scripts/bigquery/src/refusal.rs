//! Pure. How the service says no: over gRPC with a code and `StorageError` details, over REST with a reason.

use gcp_bigquery_client::google::cloud::bigquery::storage::v1 as storage;
use gcp_bigquery_client::google::rpc;
use prost::Message as _;
use prost_types::Any;
use serde_json::{Value, json};
use storage::storage_error::StorageErrorCode;
use storage::{RowError, StorageError};
use tonic::{Code, Status};

const STORAGE_ERROR: &str = "type.googleapis.com/google.cloud.bigquery.storage.v1.StorageError";

/// The names of gRPC's codes, each at its number.
const CODE_NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

pub fn code_name(code: Code) -> &'static str {
    let at = usize::try_from(i32::from(code)).ok();
    at.and_then(|at| CODE_NAMES.get(at)).copied().unwrap_or("UNKNOWN")
}

/// The code of that name, as the service spells it.
pub fn code_named(name: &str) -> Option<Code> {
    let at = CODE_NAMES.iter().position(|known| *known == name)?;
    i32::try_from(at).ok().map(Code::from_i32)
}

/// A refused call of the Storage Write API.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub code: Code,
    /// Goes into the details, unless unspecified.
    pub storage: StorageErrorCode,
    /// The stream or table that the details name.
    pub entity: String,
    pub message: String,
    pub rows: Vec<RowError>,
    /// An append can be refused in an answer, or by the end of its connection.
    pub ends_connection: bool,
}

impl Refusal {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            storage: StorageErrorCode::Unspecified,
            entity: String::new(),
            message: message.into(),
            rows: Vec::new(),
            ends_connection: false,
        }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    #[must_use]
    pub fn with_storage(mut self, storage: StorageErrorCode, entity: impl Into<String>) -> Self {
        self.storage = storage;
        self.entity = entity.into();
        self
    }

    #[must_use]
    pub fn ending_the_connection(mut self) -> Self {
        self.ends_connection = true;
        self
    }

    /// The error inside an answer.
    pub fn status(&self) -> rpc::Status {
        rpc::Status {
            code: self.code.into(),
            message: self.message.clone(),
            details: self.detail().into_iter().collect(),
        }
    }

    /// The end of a call; the details go along in its trailers.
    pub fn end(&self) -> Status {
        let details = self.status().encode_to_vec();
        Status::with_details(self.code, self.message.clone(), details.into())
    }

    fn detail(&self) -> Option<Any> {
        if self.storage == StorageErrorCode::Unspecified {
            return None;
        }
        let error = self.storage_error();
        Some(Any { type_url: STORAGE_ERROR.into(), value: error.encode_to_vec() })
    }

    pub fn storage_error(&self) -> StorageError {
        StorageError {
            code: self.storage.into(),
            entity: self.entity.clone(),
            error_message: self.message.clone(),
        }
    }
}

/// A refused call of the REST interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestRefusal {
    pub status: u16,
    pub reason: String,
    pub message: String,
}

impl RestRefusal {
    pub fn new(status: u16, reason: &str, message: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), message: message.into() }
    }

    pub fn not_found(what: &str) -> Self {
        Self::new(404, "notFound", format!("Not found: {what}"))
    }

    pub fn duplicate(what: &str) -> Self {
        Self::new(409, "duplicate", format!("Already Exists: {what}"))
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "invalid", message)
    }

    /// What a gRPC code amounts to here.
    pub fn of_code(code: Code) -> Self {
        let (status, reason) = match code {
            Code::InvalidArgument | Code::OutOfRange => (400, "invalid"),
            Code::Unauthenticated => (401, "authError"),
            Code::PermissionDenied => (403, "accessDenied"),
            Code::NotFound => (404, "notFound"),
            Code::AlreadyExists => (409, "duplicate"),
            Code::FailedPrecondition => (412, "conditionNotMet"),
            Code::ResourceExhausted => (429, "rateLimitExceeded"),
            Code::Unavailable => (503, "backendError"),
            _ => (500, "internalError"),
        };
        Self::new(status, reason, format!("refused on request: {}", code_name(code)))
    }

    pub fn body(&self) -> Value {
        let Self { status, reason, message } = self;
        let error = json!({"reason": reason, "domain": "global", "message": message});
        json!({"error": {"code": status, "message": message, "errors": [error]}})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_belong_together() {
        for number in 0..17 {
            let code = Code::from_i32(number);
            assert_eq!(code_named(code_name(code)), Some(code));
        }
        assert_eq!(code_name(Code::Unauthenticated), "UNAUTHENTICATED");
        assert_eq!(code_named("NO_SUCH_CODE"), None);
    }

    #[test]
    fn details_are_the_same_in_an_answer_and_in_the_trailers() {
        let refusal = Refusal::invalid("Stream has been finalized")
            .with_storage(StorageErrorCode::StreamFinalized, "s");
        let inside = refusal.status();
        assert_eq!(rpc::Status::decode(refusal.end().details()), Ok(inside.clone()));
        let [any] = &inside.details[..] else { panic!("one detail: {inside:?}") };
        assert_eq!(any.type_url, STORAGE_ERROR);
        let error = StorageError::decode(&any.value[..]);
        let entity = "s".to_owned();
        let error_message = "Stream has been finalized".to_owned();
        assert_eq!(error, Ok(StorageError { code: 6, entity, error_message }));
        assert!(Refusal::invalid("x").status().details.is_empty());
    }
}
