//! Pure. Why a call failed: what was tried, what that says of its outcome, and what a person can do.

use std::error::Error;
use std::fmt;

use gcp_bigquery_client::error::BQError;
use gcp_bigquery_client::yup_oauth2;
use tonic::{Code, Status};

/// What was asked of BigQuery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Connect,
    Dataset,
    Table,
    CreateTable,
    PatchTable,
    Query,
    CreateStream,
    FinalizeStream,
    Append,
    Insert,
}

/// What a failure says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No answer, or none that says so: it may have been done, now or later.
    Unknown,
    /// A quota or rate is used up for now.
    Throttled,
    /// The token was not accepted, or none could be had for now. The next attempt asks for a fresh one.
    Unauthenticated,
    /// The account may not.
    Denied,
    NotFound,
    /// What was to be created is there.
    Duplicate,
    /// It was changed since it was read.
    Conflict,
    /// Refused for what was asked: asking again does not help.
    Refused,
    /// Options or files of our own are wrong.
    Settings,
}

/// A call that failed. An append's connection that ended leaves the outcome of every append without an
/// answer unknown, whatever the kind says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct CallError {
    pub call: Call,
    /// Of what: a dataset, table or stream.
    pub subject: String,
    pub kind: Kind,
    pub text: String,
}

impl CallError {
    pub fn new(call: Call, subject: &str, kind: Kind, text: impl Into<String>) -> Self {
        Self { call, subject: subject.into(), kind, text: text.into() }
    }

    pub fn settings(text: impl Into<String>) -> Self {
        Self::new(Call::Connect, "", Kind::Settings, text)
    }

    pub fn refused(call: Call, subject: &str, text: impl Into<String>) -> Self {
        Self::new(call, subject, Kind::Refused, text)
    }

    pub fn unknown(call: Call, subject: &str, text: impl Into<String>) -> Self {
        Self::new(call, subject, Kind::Unknown, text)
    }

    /// True if the same call may succeed later, without anybody's help.
    pub fn is_transient(&self) -> bool {
        match self.kind {
            Kind::Unknown | Kind::Throttled | Kind::Unauthenticated => true,
            Kind::Denied
            | Kind::NotFound
            | Kind::Duplicate
            | Kind::Conflict
            | Kind::Refused
            | Kind::Settings => false,
        }
    }

    pub fn is_throttled(&self) -> bool {
        self.kind == Kind::Throttled
    }

    /// Of a call by REST, from its status and the first reason in its body, empty if there is none.
    pub fn of_rest(call: Call, subject: &str, status: u16, reason: &str, message: &str) -> Self {
        let text = match reason {
            "" => format!("it answered {status}: {message}"),
            _ => format!("it answered {status} {reason}: {message}"),
        };
        Self::new(call, subject, kind_of_rest(status, reason), text)
    }

    /// Of a call by gRPC that ended.
    pub fn of_status(call: Call, subject: &str, status: &Status) -> Self {
        let mut text = format!("it ended with {:?}: {}", status.code(), status.message());
        let mut cause = status.source();
        while let Some(error) = cause {
            let words = error.to_string();
            if !text.contains(&words) {
                text = format!("{text}: {words}");
            }
            cause = error.source();
        }
        Self::new(call, subject, kind_of_code(status.code()), text)
    }

    /// Of a call by the REST client.
    pub fn of_client(call: Call, subject: &str, error: &BQError) -> Self {
        let with = |kind, text: String| Self::new(call, subject, kind, text);
        match error {
            BQError::ResponseError { error } => {
                let error = &error.error;
                let reason = error.errors.first().and_then(|first| first.get("reason"));
                let reason = reason.map_or("", String::as_str);
                let status = u16::try_from(error.code).unwrap_or(0);
                Self::of_rest(call, subject, status, reason, &error.message)
            }
            BQError::YupAuthError(error) => {
                let (kind, text) = of_token(error);
                with(kind, text)
            }
            BQError::NoToken => {
                with(Kind::Unauthenticated, "the answer to a request for a token held none".into())
            }
            // Its connection failed, or the answer was none that it knows: a page of a proxy, nothing
            // at all, or a success whose text cannot be read. The client has lost the status.
            other => with(Kind::Unknown, causes(other)),
        }
    }
}

/// Why there is no token. What the account's server says is for good.
fn of_token(error: &yup_oauth2::Error) -> (Kind, String) {
    let causes = causes(error);
    match error {
        yup_oauth2::Error::AuthError(_) => {
            let text = format!(
                "no token is given for these credentials; the key may be deleted or the clock wrong: {causes}"
            );
            (Kind::Denied, text)
        }
        yup_oauth2::Error::UserError(_) | yup_oauth2::Error::CredentialSourceError(_) => {
            (Kind::Settings, format!("these credentials cannot be used: {causes}"))
        }
        _ => (Kind::Unauthenticated, format!("no token could be had: {causes}")),
    }
}

fn causes(error: &dyn Error) -> String {
    common::chain::Chain(error).to_string()
}

fn kind_of_rest(status: u16, reason: &str) -> Kind {
    let is_throttling = matches!(
        reason,
        "quotaExceeded" | "rateLimitExceeded" | "userRateLimitExceeded" | "jobRateLimitExceeded"
    );
    match (status, reason) {
        _ if is_throttling => Kind::Throttled,
        (_, "backendError" | "internalError" | "tableUnavailable") => Kind::Unknown,
        (401, _) => Kind::Unauthenticated,
        (403, "accessDenied" | "forbidden" | "insufficientPermissions") => Kind::Denied,
        (404, _) => Kind::NotFound,
        (409, "duplicate" | "alreadyExists" | "") => Kind::Duplicate,
        (412, _) => Kind::Conflict,
        (429, _) => Kind::Throttled,
        (408 | 409 | 500.., _) => Kind::Unknown,
        _ => Kind::Refused,
    }
}

fn kind_of_code(code: Code) -> Kind {
    match code {
        Code::ResourceExhausted => Kind::Throttled,
        Code::Unauthenticated => Kind::Unauthenticated,
        Code::PermissionDenied => Kind::Denied,
        Code::NotFound => Kind::NotFound,
        Code::AlreadyExists => Kind::Duplicate,
        Code::InvalidArgument
        | Code::OutOfRange
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::DataLoss => Kind::Refused,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable => Kind::Unknown,
    }
}

impl Call {
    fn doing(self) -> &'static str {
        match self {
            Self::Connect => "BigQuery cannot be used",
            Self::Dataset => "failed to read the dataset",
            Self::Table => "failed to read the table",
            Self::CreateTable => "failed to create the table",
            Self::PatchTable => "failed to change the table",
            Self::Query => "failed to ask what is stored in the table",
            Self::CreateStream => "failed to create a write stream of the table",
            Self::FinalizeStream => "failed to finalize the write stream",
            Self::Append => "failed to append to the write stream",
            Self::Insert => "failed to insert rows into the table",
        }
    }

    /// What the account needs.
    fn permission(self) -> &'static str {
        match self {
            Self::Connect => "a role in the project",
            Self::Dataset => "bigquery.datasets.get",
            Self::Table => "bigquery.tables.get",
            Self::CreateTable => "bigquery.tables.create",
            Self::PatchTable => "bigquery.tables.update",
            Self::Query => {
                "bigquery.jobs.create in the project and bigquery.tables.getData on the table"
            }
            Self::CreateStream | Self::FinalizeStream | Self::Append | Self::Insert => {
                "bigquery.tables.updateData"
            }
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, subject, kind, text } = self;
        f.write_str(call.doing())?;
        if !subject.is_empty() {
            write!(f, " {subject}")?;
        }
        write!(f, ": {text}")?;
        match (kind, call) {
            (Kind::Denied, _) => write!(f, "; the account needs {}", call.permission()),
            (Kind::NotFound, Call::Dataset) => {
                f.write_str("; create it, or look at --bigquery-project and --bigquery-dataset")
            }
            (Kind::Unauthenticated, _) => f.write_str("; look at --bigquery-credentials"),
            (Kind::Unknown, Call::CreateTable | Call::PatchTable | Call::Append | Call::Insert) => {
                f.write_str("; it may have been done nevertheless")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the table of error codes in docs/bigquery.md has it.
    #[test]
    fn a_status_and_its_reason_say_what_to_do() {
        for (status, reason, expected) in [
            (401, "authError", Kind::Unauthenticated),
            (403, "accessDenied", Kind::Denied),
            (403, "quotaExceeded", Kind::Throttled),
            (403, "rateLimitExceeded", Kind::Throttled),
            (403, "billingNotEnabled", Kind::Refused),
            (404, "notFound", Kind::NotFound),
            (409, "duplicate", Kind::Duplicate),
            (412, "conditionNotMet", Kind::Conflict),
            (429, "", Kind::Throttled),
            (400, "invalid", Kind::Refused),
            (400, "invalidQuery", Kind::Refused),
            (400, "rateLimitExceeded", Kind::Throttled),
            (500, "internalError", Kind::Unknown),
            (502, "", Kind::Unknown),
            (503, "backendError", Kind::Unknown),
            (504, "", Kind::Unknown),
        ] {
            let error = CallError::of_rest(Call::Table, "p.d.t", status, reason, "because");
            assert_eq!(error.kind, expected, "{status} {reason}");
            let is_transient =
                matches!(expected, Kind::Unknown | Kind::Throttled | Kind::Unauthenticated);
            assert_eq!(
                (error.is_transient(), error.is_throttled()),
                (is_transient, expected == Kind::Throttled)
            );
        }
    }

    /// Whatever leaves open whether a call was applied is unknown, never refused.
    #[test]
    fn a_code_that_leaves_the_outcome_open_is_no_refusal() {
        for code in [1, 2, 4, 10, 13, 14] {
            assert_eq!(kind_of_code(Code::from_i32(code)), Kind::Unknown, "{code}");
        }
        for (code, expected) in [
            (3, Kind::Refused),
            (5, Kind::NotFound),
            (6, Kind::Duplicate),
            (7, Kind::Denied),
            (8, Kind::Throttled),
            (9, Kind::Refused),
            (11, Kind::Refused),
            (12, Kind::Refused),
            (15, Kind::Refused),
            (16, Kind::Unauthenticated),
        ] {
            assert_eq!(kind_of_code(Code::from_i32(code)), expected, "{code}");
        }
    }

    #[test]
    fn a_person_is_told_what_to_look_at() {
        let told = |call, status, reason| {
            CallError::of_rest(call, "p.d", status, reason, "no").to_string()
        };
        assert_eq!(
            told(Call::Dataset, 404, "notFound"),
            "failed to read the dataset p.d: it answered 404 notFound: no; create it, or look at \
             --bigquery-project and --bigquery-dataset"
        );
        assert!(told(Call::Query, 403, "accessDenied").contains("bigquery.jobs.create"));
        assert!(told(Call::CreateTable, 403, "accessDenied").ends_with("bigquery.tables.create"));
        assert!(told(Call::Table, 401, "authError").ends_with("--bigquery-credentials"));
        let denied = Status::permission_denied("no");
        let denied = CallError::of_status(Call::Append, "s", &denied).to_string();
        assert!(denied.ends_with("bigquery.tables.updateData"), "{denied}");
        assert!(told(Call::Insert, 403, "accessDenied").ends_with("bigquery.tables.updateData"));
    }
}
