//! Pure. What has happened, so that a test can tell whether anything did.

use std::fmt;
use std::ops::AddAssign;

macro_rules! seen {
    ($($name:ident),* $(,)?) => {
        #[derive(Clone, Debug, Default)]
        pub(crate) struct Seen {
            $(pub(crate) $name: u64,)*
        }

        impl AddAssign for Seen {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }

        impl fmt::Display for Seen {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(write!(f, "{} {}, ", stringify!($name).replace('_', " "), self.$name)?;)*
                Ok(())
            }
        }
    };
}

seen! {
    reigns,
    take_overs,
    partial_take_overs,
    renewals,
    deposed,
    plans,
    moves,
    opened,
    failed_opens,
    lapses,
    ended,
    fenced,
    accepted,
    gaps,
    reopened,
    kills,
    freezes,
    leader_kills,
    leader_freezes,
    farewells,
    drains,
    cuts,
    volumes,
    clock_steps,
    topics_grown,
    topics_created_anew,
    retention,
    requests,
    forged,
    refused,
    commits,
    late_commits,
    puts,
    snapshots,
    streams,
    finalized,
    forgotten,
    appends,
    late_appends,
    already_there,
    not_found,
    given_up_as_gone,
    rows_missing,
    unusable,
    condemned,
    late_answers,
}
