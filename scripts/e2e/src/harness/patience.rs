//! IO. Waits for conditions: a wait ends as soon as its condition holds, or once it has held for long enough.

use std::fmt;
use std::time::Duration;

use common::clock::Clock;

const LOOK_EVERY: Duration = Duration::from_millis(50);
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// What did not come true in time, and what was seen last.
#[derive(Debug, thiserror::Error)]
#[error("waited {} s in vain until {what}; seen last: {seen}", patience.as_secs())]
pub struct TimedOut {
    what: String,
    patience: Duration,
    seen: String,
}

/// Looks again and again until `look` returns `Ok`, at most for `patience`; its `Err` says what was
/// seen instead.
pub fn wait_until<T, S: fmt::Display>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Result<T, S>,
) -> Result<T, TimedOut> {
    let began = Clock.now();
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(seen) if Clock.now().saturating_since(began) > patience => {
                return Err(TimedOut { what: what.into(), patience, seen: seen.to_string() });
            }
            Err(_) => std::thread::sleep(LOOK_EVERY),
        }
    }
}

/// What was true for a while, and then not.
#[derive(Debug, thiserror::Error)]
#[error("{what} for {} s only, not for {} s; then: {seen}", held.as_secs(), span.as_secs())]
pub struct Broken {
    what: String,
    held: Duration,
    span: Duration,
    seen: String,
}

/// Looks again and again for the whole of `span`, and fails as soon as `look` does.
pub fn stays_true<S: fmt::Display>(
    what: &str,
    span: Duration,
    mut look: impl FnMut() -> Result<(), S>,
) -> Result<(), Broken> {
    let began = Clock.now();
    loop {
        let held = Clock.now().saturating_since(began);
        look().map_err(|seen| Broken { what: what.into(), held, span, seen: seen.to_string() })?;
        if held >= span {
            return Ok(());
        }
        std::thread::sleep(WATCH_EVERY.min(span - held));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_with_the_condition_or_with_what_was_seen_last() {
        let mut looks = 0;
        let mut look = || {
            looks += 1;
            if looks == 3 { Ok(looks) } else { Err(format!("{looks} looks")) }
        };
        assert_eq!(wait_until("it is there", Duration::from_secs(5), &mut look).unwrap(), 3);
        let error = wait_until("it is there", Duration::ZERO, || Err::<(), _>("nothing"));
        let text = error.unwrap_err().to_string();
        assert_eq!(text, "waited 0 s in vain until it is there; seen last: nothing");
    }

    #[test]
    fn what_is_to_stay_true_is_looked_at_until_the_end() {
        let mut looks = 0;
        let mut look = || {
            looks += 1;
            if looks < 3 { Ok(()) } else { Err("the third") }
        };
        let (span, long) = (Duration::from_millis(1), Duration::from_secs(5));
        stays_true("it is there", span, &mut look).unwrap();
        let error = stays_true("it is there", long, &mut look).unwrap_err().to_string();
        assert_eq!(error, "it is there for 0 s only, not for 5 s; then: the third");
    }
}
