//! Pure. The option of a service entry that says which share of records may become dead letters.

use common::messages::command::Source;

const NAME: &str = "dead_letter_share_max";

/// The largest share of the last records that may become dead letters, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct ShareMax(f64);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the option `{NAME}` is a number from 0 to 1, not `{0}`; 1 lets any number of records become dead letters"
)]
pub struct OptionError(String);

impl ShareMax {
    pub fn is_exceeded(self, part: u64, whole: u64) -> bool {
        share(part, whole) > self.0
    }
}

impl Default for ShareMax {
    /// A half.
    fn default() -> Self {
        Self(0.5)
    }
}

/// The share that an entry allows, and the entry without this option.
///
/// # Errors
/// If the option is no share.
pub fn split(source: &Source) -> Result<(ShareMax, Source), OptionError> {
    let mut rest = source.clone();
    let Some(text) = rest.options.remove(NAME) else { return Ok((ShareMax::default(), rest)) };
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.map(|share| (ShareMax(share), rest)).ok_or(OptionError(text))
}

/// 0 of nothing.
#[expect(clippy::cast_precision_loss, reason = "counts of records, compared with a share")]
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(option: Option<&str>) -> Source {
        let given = option.map(|value| (NAME.to_owned(), value.to_owned()));
        let headers = ("headers".to_owned(), "true".to_owned());
        let options = given.into_iter().chain([headers]).collect();
        Source { table: "t".into(), format: "json".into(), sink: "parquet".into(), options }
    }

    #[test]
    fn the_option_is_a_share_and_is_taken_out() {
        let of = |option| split(&source(option));
        assert_eq!(of(None), Ok((ShareMax(0.5), source(None))));
        assert_eq!(of(Some("0.25")), Ok((ShareMax(0.25), source(None))));
        for wrong in ["1.5", "-1", "half", "NaN", "50%", ""] {
            assert!(of(Some(wrong)).unwrap_err().to_string().contains(wrong));
        }
        let all = of(Some("1")).unwrap().0;
        assert!(!all.is_exceeded(7, 7) && ShareMax(0.0).is_exceeded(1, 7));
        assert!(!ShareMax::default().is_exceeded(1, 2) && !ShareMax(0.0).is_exceeded(0, 0));
    }
}
