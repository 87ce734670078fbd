//! Pure. What an answer to an append means.

use gcp_bigquery_client::google::cloud::bigquery::storage::v1 as storage;
use gcp_bigquery_client::google::rpc;
use prost::Message as _;
use storage::append_rows_response::Response;
use storage::storage_error::StorageErrorCode;
use storage::{AppendRowsResponse, StorageError};
use tonic::{Code, Status};

const STORAGE_ERROR: &str = "google.cloud.bigquery.storage.v1.StorageError";

/// The answer to the oldest append that had none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub verdict: Verdict,
    /// True if the connection knows from now on columns that the table got since it was opened.
    pub has_new_columns: bool,
}

/// Where nothing else is said, no row of the request was stored, and the connection goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All rows are stored, the first at this offset of the stream; the default stream tells none.
    Stored {
        offset: Option<u64>,
    },
    /// There are rows at that offset: of an earlier attempt of the same request, or somebody else's.
    /// `expected` is where the stream ends.
    AlreadyExists {
        expected: Option<u64>,
    },
    /// Something before is not stored, or not seen yet.
    OutOfRange {
        expected: Option<u64>,
    },
    /// Another owner has fenced the stream.
    Finalized,
    /// The stream is no more; the connection has ended with it if this was its end.
    StreamGone,
    /// These rows of the request cannot be stored, by their index, with the reason.
    RowsRefused(Vec<(usize, String)>),
    /// The request has more bytes than are taken at once.
    TooLarge(String),
    /// The rows have a field for which the table has no column that the service knows of.
    SchemaMismatch(String),
    Throttled(String),
    /// Refused for what was asked; the same again is refused again.
    Refused(String),
    /// Stored or not.
    Unknown(String),
}

impl Answer {
    pub fn of_response(response: &AppendRowsResponse) -> Self {
        let verdict = match &response.response {
            Some(Response::AppendResult(result)) => {
                let offset = result.offset.and_then(|offset| u64::try_from(offset).ok());
                Verdict::Stored { offset }
            }
            Some(Response::Error(error)) if response.row_errors.is_empty() => of_error(error),
            // A row error can come without any other.
            _ if !response.row_errors.is_empty() => {
                let refused = response.row_errors.iter().map(|error| {
                    let index = usize::try_from(error.index).unwrap_or(usize::MAX);
                    (index, error.message.clone())
                });
                Verdict::RowsRefused(refused.collect())
            }
            _ => Verdict::Unknown("an answer said neither yes nor no".into()),
        };
        Self { verdict, has_new_columns: response.updated_schema.is_some() }
    }

    /// What the end of a connection says beyond doubt, whichever of the appends without an answer it
    /// was meant for. Nothing else is known of them.
    pub fn of_end(status: &Status) -> Option<Self> {
        let details = rpc::Status::decode(status.details()).unwrap_or_default();
        let verdict = match (status.code(), storage_code(&details)) {
            (_, StorageErrorCode::StreamFinalized) => Verdict::Finalized,
            (Code::NotFound, _) => Verdict::StreamGone,
            _ => return None,
        };
        Some(Self { verdict, has_new_columns: false })
    }
}

fn of_error(error: &rpc::Status) -> Verdict {
    let code = Code::from_i32(error.code);
    let message = error.message.clone();
    let expected = || expected_offset(&message);
    match (storage_code(error), code) {
        (StorageErrorCode::OffsetAlreadyExists, _) | (_, Code::AlreadyExists) => {
            Verdict::AlreadyExists { expected: expected() }
        }
        (StorageErrorCode::OffsetOutOfRange, _) | (_, Code::OutOfRange) => {
            Verdict::OutOfRange { expected: expected() }
        }
        (StorageErrorCode::StreamFinalized, _) => Verdict::Finalized,
        (StorageErrorCode::StreamNotFound, _) => Verdict::StreamGone,
        (StorageErrorCode::Unspecified, Code::NotFound) => Verdict::StreamGone,
        (StorageErrorCode::SchemaMismatchExtraFields, _) => Verdict::SchemaMismatch(message),
        (_, Code::InvalidArgument) if message.contains("too large") => Verdict::TooLarge(message),
        (_, Code::ResourceExhausted) => Verdict::Throttled(message),
        (
            _,
            Code::InvalidArgument
            | Code::NotFound
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::Unimplemented
            | Code::DataLoss,
        ) => Verdict::Refused(message),
        (
            _,
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::Internal
            | Code::Unavailable
            | Code::Unauthenticated,
        ) => Verdict::Unknown(format!("{code:?}: {message}")),
    }
}

fn storage_code(error: &rpc::Status) -> StorageErrorCode {
    let is_storage = |any: &&prost_types::Any| any.type_url.ends_with(STORAGE_ERROR);
    let detail = error.details.iter().find(is_storage);
    let decoded = detail.and_then(|any| StorageError::decode(&any.value[..]).ok());
    decoded.map_or(StorageErrorCode::Unspecified, |error| error.code())
}

/// Where the stream ends, as the service words it: `… expected offset E, received R`.
fn expected_offset(message: &str) -> Option<u64> {
    let (_, after) = message.split_once("expected offset ")?;
    let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    after[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::Any;
    use storage::append_rows_response::AppendResult;
    use storage::{RowError, TableSchema};

    fn error(code: Code, storage: StorageErrorCode, message: &str) -> rpc::Status {
        let detail = StorageError {
            code: storage.into(),
            entity: "s".into(),
            error_message: message.into(),
        };
        let any = Any {
            type_url: format!("type.googleapis.com/{STORAGE_ERROR}"),
            value: detail.encode_to_vec(),
        };
        let details = match storage {
            StorageErrorCode::Unspecified => Vec::new(),
            _ => vec![any],
        };
        rpc::Status { code: code.into(), message: message.into(), details }
    }

    fn refused(code: Code, storage: StorageErrorCode, message: &str) -> Verdict {
        let response = AppendRowsResponse {
            response: Some(Response::Error(error(code, storage, message))),
            ..AppendRowsResponse::default()
        };
        Answer::of_response(&response).verdict
    }

    fn stored(offset: Option<i64>) -> AppendRowsResponse {
        let result = Response::AppendResult(AppendResult { offset });
        AppendRowsResponse { response: Some(result), ..AppendRowsResponse::default() }
    }

    #[test]
    fn an_offset_means_stored() {
        let answer = Answer::of_response(&stored(Some(7)));
        let verdict = Verdict::Stored { offset: Some(7) };
        assert_eq!(answer, Answer { verdict, has_new_columns: false });
        let default = Answer::of_response(&stored(None)).verdict;
        assert_eq!(default, Verdict::Stored { offset: None });
        let told =
            AppendRowsResponse { updated_schema: Some(TableSchema::default()), ..stored(Some(7)) };
        assert!(Answer::of_response(&told).has_new_columns);
    }

    #[test]
    fn rows_at_the_offset_are_told_with_the_end_of_the_stream() {
        let message = "The offset is within stream, expected offset 12, received 3";
        for storage in [StorageErrorCode::OffsetAlreadyExists, StorageErrorCode::Unspecified] {
            let verdict = refused(Code::AlreadyExists, storage, message);
            assert_eq!(verdict, Verdict::AlreadyExists { expected: Some(12) });
        }
        let verdict = refused(Code::AlreadyExists, StorageErrorCode::Unspecified, "there");
        assert_eq!(verdict, Verdict::AlreadyExists { expected: None });
    }

    #[test]
    fn an_offset_beyond_the_end_is_told_with_the_end() {
        let message = "The offset is beyond stream, expected offset 0, received 3 Entity: x";
        let verdict = refused(Code::OutOfRange, StorageErrorCode::OffsetOutOfRange, message);
        assert_eq!(verdict, Verdict::OutOfRange { expected: Some(0) });
    }

    #[test]
    fn a_finalized_stream_is_a_fence() {
        let message = "Stream has been finalized";
        let verdict = refused(Code::InvalidArgument, StorageErrorCode::StreamFinalized, message);
        assert_eq!(verdict, Verdict::Finalized);
    }

    #[test]
    fn a_stream_that_is_gone_is_no_refused_row() {
        let gone = refused(Code::NotFound, StorageErrorCode::StreamNotFound, "gone");
        assert_eq!(gone, Verdict::StreamGone);
        let table = refused(Code::NotFound, StorageErrorCode::TableNotFound, "gone");
        assert_eq!(table, Verdict::Refused("gone".into()));
    }

    #[test]
    fn refused_rows_are_named() {
        let row = |index, message: &str| RowError { index, code: 1, message: message.into() };
        let message = "Please refer to the row_errors field";
        let mut response = AppendRowsResponse {
            row_errors: vec![row(1, "no number"), row(3, "missing")],
            response: Some(Response::Error(error(
                Code::InvalidArgument,
                StorageErrorCode::Unspecified,
                message,
            ))),
            ..AppendRowsResponse::default()
        };
        let named = Verdict::RowsRefused(vec![(1, "no number".into()), (3, "missing".into())]);
        assert_eq!(Answer::of_response(&response).verdict, named);
        response.response = None;
        assert_eq!(Answer::of_response(&response).verdict, named);
    }

    #[test]
    fn what_is_wrong_with_a_request_is_told_apart() {
        let invalid = |storage, message| refused(Code::InvalidArgument, storage, message);
        let large = "AppendRows request too large: 10485761 limit 10485760";
        let unspecified = StorageErrorCode::Unspecified;
        assert_eq!(invalid(unspecified, large), Verdict::TooLarge(large.into()));
        let extra = invalid(StorageErrorCode::SchemaMismatchExtraFields, "zzz");
        assert_eq!(extra, Verdict::SchemaMismatch("zzz".into()));
        assert_eq!(invalid(unspecified, "no schema"), Verdict::Refused("no schema".into()));
        let denied = refused(Code::PermissionDenied, unspecified, "no");
        assert_eq!(denied, Verdict::Refused("no".into()));
        let throttled = refused(Code::ResourceExhausted, unspecified, "quota");
        assert_eq!(throttled, Verdict::Throttled("quota".into()));
    }

    /// Of nothing that may have been stored is said that it was not.
    #[test]
    fn trouble_of_the_service_leaves_the_outcome_open() {
        for code in [1, 2, 4, 10, 13, 14, 16] {
            let verdict = refused(Code::from_i32(code), StorageErrorCode::Unspecified, "x");
            assert!(matches!(verdict, Verdict::Unknown(_)), "{code}: {verdict:?}");
        }
        let silent = Answer::of_response(&AppendRowsResponse::default());
        assert!(matches!(silent.verdict, Verdict::Unknown(_)));
    }

    /// The end of a connection fences or says that the stream is gone; else it says nothing.
    #[test]
    fn an_end_says_little() {
        let end = |code, storage| {
            let details = error(code, storage, "x").encode_to_vec();
            let status = Status::with_details(code, "x", details.into());
            Answer::of_end(&status).map(|answer| answer.verdict)
        };
        let gone = Some(Verdict::StreamGone);
        assert_eq!(end(Code::NotFound, StorageErrorCode::StreamNotFound), gone);
        assert_eq!(end(Code::NotFound, StorageErrorCode::Unspecified), gone);
        let fenced = end(Code::InvalidArgument, StorageErrorCode::StreamFinalized);
        assert_eq!(fenced, Some(Verdict::Finalized));
        for code in [1, 2, 3, 4, 6, 7, 8, 10, 11, 13, 14, 16] {
            assert_eq!(end(Code::from_i32(code), StorageErrorCode::Unspecified), None, "{code}");
        }
        let other = Status::with_details(Code::Internal, "x", b"no status".as_slice().into());
        assert_eq!(Answer::of_end(&other), None);
    }
}
