//! Pure. A plan as text: one line for each thing that it changes or warns of, with the reason.

use std::collections::BTreeMap;
use std::fmt;

use common::identity::ConsumerId;

use super::Plan;

/// Lines that begin with `+` for a consumer to be created, `>` for a move, `-` for a consumer to be
/// removed, `!` for a warning, and `=` for what each consumer holds in the end.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (consumer, reason) in &self.create {
            writeln!(f, "+ {consumer}: {reason}")?;
        }
        for (partition, planned) in &self.moves {
            write!(f, "> {partition}")?;
            if let Some(from) = planned.from {
                write!(f, " from {from}")?;
            }
            writeln!(f, " to {}: {}", planned.to, planned.explain(partition))?;
        }
        for (consumer, reason) in &self.remove {
            writeln!(f, "- {consumer}: {reason}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "! {warning}")?;
        }
        self.write_holdings(f)
    }
}

impl Plan {
    fn write_holdings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut holdings = BTreeMap::<ConsumerId, Vec<String>>::new();
        for (partition, owner) in &self.assignment {
            holdings.entry(*owner).or_default().push(partition.to_string());
        }
        for (consumer, partitions) in holdings {
            writeln!(f, "= {consumer} holds {}", partitions.join(", "))?;
        }
        Ok(())
    }
}
