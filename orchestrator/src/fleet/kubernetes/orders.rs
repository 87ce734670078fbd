//! Pure. What people ask by annotations on the group's object, as the messages that mean the same.

use std::collections::BTreeMap;

use common::messages::request::{Approve, Pause, Resume, Scaling};
use common::messages::{Extra, Message};

pub const APPROVE: &str = "stowage.dev/approve";
const PAUSES: [(&str, Scaling); 3] = [
    ("stowage.dev/paused", Scaling::All),
    ("stowage.dev/paused-scale-in", Scaling::In),
    ("stowage.dev/paused-scale-out", Scaling::Out),
];

/// The annotations as they were read last. What changes is an order; what stays is none: people may
/// have ordered something else since in another way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    paused: BTreeMap<&'static str, bool>,
    approved: Option<String>,
}

impl Orders {
    pub fn read(&mut self, annotations: &BTreeMap<String, String>) -> Vec<Message> {
        let mut messages = vec![];
        for (name, scaling) in PAUSES {
            let is_paused = annotations.get(name).is_some_and(|value| value != "false");
            let was_paused = self.paused.insert(name, is_paused).unwrap_or(false);
            match (was_paused, is_paused) {
                (false, true) => messages.push(Pause { scaling, extra: Extra::new() }.into()),
                (true, false) => messages.push(Resume { scaling, extra: Extra::new() }.into()),
                (true, true) | (false, false) => {}
            }
        }
        let approved = annotations.get(APPROVE).filter(|name| !name.is_empty()).cloned();
        if let Some(proposal) = approved.clone().filter(|_| approved != self.approved) {
            messages.push(Approve { proposal, extra: Extra::new() }.into());
        }
        self.approved = approved;
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_an_annotation_is_an_order() {
        let mut orders = Orders::default();
        let mut read = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            orders.read(&pairs.collect())
        };
        let pause = |scaling| Message::from(Pause { scaling, extra: Extra::new() });
        let resume = |scaling| Message::from(Resume { scaling, extra: Extra::new() });
        assert_eq!(read(&[]), []);
        let both = [("stowage.dev/paused", "true"), ("stowage.dev/paused-scale-in", "")];
        assert_eq!(read(&both), [pause(Scaling::All), pause(Scaling::In)]);
        assert_eq!(read(&both), []);
        let one = [("stowage.dev/paused", "false"), ("stowage.dev/paused-scale-in", "true")];
        assert_eq!(read(&one), [resume(Scaling::All)]);
        let approve = [("stowage.dev/paused-scale-in", "true"), (APPROVE, "5f1c")];
        let expected = Approve { proposal: "5f1c".into(), extra: Extra::new() };
        assert_eq!(read(&approve), [Message::from(expected)]);
        assert_eq!(read(&approve), []);
        assert_eq!(read(&[]), [resume(Scaling::In)]);
    }
}
