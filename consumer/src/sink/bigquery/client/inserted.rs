//! Pure. What an answer of insertAll means: a success may hold errors of rows, and then nothing of it is stored.

use gcp_bigquery_client::model::error_proto::ErrorProto;
use gcp_bigquery_client::model::table_data_insert_all_response::TableDataInsertAllResponse;

use super::verdict::Verdict;

/// Beside which others are at fault.
const STOPPED: &str = "stopped";
/// Of a row itself.
const INVALID: &str = "invalid";
const THROTTLED: [&str; 3] = ["rateLimitExceeded", "quotaExceeded", "userRateLimitExceeded"];
/// How a message begins that names a column which the service does not know, or not yet.
const NO_SUCH_FIELD: &str = "no such field";

/// What becomes of rows that were sent without leave to skip bad ones.
pub fn verdict(response: &TableDataInsertAllResponse) -> Verdict {
    let rows = response.insert_errors.as_deref().unwrap_or_default();
    if rows.is_empty() {
        return Verdict::Stored { offset: None };
    }
    let errors = rows.iter().flat_map(|row| {
        let index = row.index.and_then(|index| usize::try_from(index).ok());
        row.errors.iter().flatten().map(move |error| (index, error))
    });
    let errors: Vec<_> = errors.collect();
    let first = |is_it: &dyn Fn(&ErrorProto) -> bool| {
        errors.iter().find(|(_, error)| is_it(error)).map(|(_, error)| text(error))
    };
    if let Some(text) = first(&is_unknown_field) {
        return Verdict::SchemaMismatch(text);
    }
    let invalid = errors.iter().filter(|(_, error)| reason(error) == INVALID);
    let invalid: Vec<_> = invalid.filter_map(|(at, error)| Some(((*at)?, text(error)))).collect();
    if !invalid.is_empty() {
        return Verdict::RowsRefused(invalid);
    }
    if let Some(text) = first(&|error| THROTTLED.contains(&reason(error))) {
        return Verdict::Throttled(text);
    }
    let text = first(&|error| reason(error) != STOPPED);
    Verdict::Unknown(text.unwrap_or_else(|| "rows were refused, and it was not said why".into()))
}

fn reason(error: &ErrorProto) -> &str {
    error.reason.as_deref().unwrap_or_default()
}

fn is_unknown_field(error: &ErrorProto) -> bool {
    let message = error.message.as_deref().unwrap_or_default();
    message.get(..NO_SUCH_FIELD.len()).is_some_and(|it| it.eq_ignore_ascii_case(NO_SUCH_FIELD))
}

/// Where it is, as far as that is said, and what is wrong.
fn text(error: &ErrorProto) -> String {
    let message = error.message.as_deref().filter(|message| !message.is_empty());
    let message = message.unwrap_or_else(|| reason(error));
    match error.location.as_deref() {
        None | Some("") => message.into(),
        Some(location) => format!("{location}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn of(errors: &[(i32, &str, &str, &str)]) -> Verdict {
        let error = |(index, reason, location, message): &(i32, &str, &str, &str)| {
            json!({"index": index, "errors": [{"reason": reason, "location": location,
                "debugInfo": "", "message": message}]})
        };
        let errors: Vec<Json> = errors.iter().map(error).collect();
        verdict(&serde_json::from_value(json!({"insertErrors": errors})).unwrap())
    }

    #[test]
    fn without_errors_all_is_stored() {
        let stored = Verdict::Stored { offset: None };
        assert_eq!(of(&[]), stored);
        assert_eq!(verdict(&TableDataInsertAllResponse::default()), stored);
    }

    #[test]
    fn bad_rows_are_named_and_those_beside_them_are_not() {
        let verdict = of(&[
            (0, "stopped", "", ""),
            (2, "invalid", "n", "Cannot convert value to integer: x"),
            (5, "invalid", "", "Row larger than the maximum"),
        ]);
        let refused = vec![
            (2, "n: Cannot convert value to integer: x".into()),
            (5, "Row larger than the maximum".into()),
        ];
        assert_eq!(verdict, Verdict::RowsRefused(refused));
    }

    /// A row is never condemned for a column that was added a moment ago.
    #[test]
    fn a_column_that_is_not_known_yet_is_no_fault_of_a_row() {
        let unknown = (1, "invalid", "more.a", "no such field: more.a.");
        let verdict = of(&[(0, "invalid", "n", "Cannot convert"), unknown, (3, "stopped", "", "")]);
        assert_eq!(verdict, Verdict::SchemaMismatch("more.a: no such field: more.a.".into()));
    }

    #[test]
    fn trouble_of_the_service_is_no_refusal() {
        let throttled = of(&[(0, "rateLimitExceeded", "", "slower")]);
        assert_eq!(throttled, Verdict::Throttled("slower".into()));
        for reason in ["backendError", "internalError", "timeout", "stopped", "new"] {
            let verdict = of(&[(0, reason, "", "")]);
            assert!(matches!(verdict, Verdict::Unknown(_)), "{reason}: {verdict:?}");
        }
        let nameless = json!({"insertErrors": [{"errors": [{"reason": "invalid"}]}, {}]});
        let verdict = verdict(&serde_json::from_value(nameless).unwrap());
        assert!(matches!(verdict, Verdict::Unknown(_)), "which row? {verdict:?}");
    }
}
