//! Pure. The sink of one partition: objects put if absent, each where the one before ends.

use common::identity::Nonce;
use common::term::Term;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) term: Term,
    pub(crate) nonce: Nonce,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    objects: Vec<Object>,
}

/// What a put found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Stored,
    Taken(Object),
}

impl Chain {
    pub(crate) fn end(&self) -> u64 {
        self.objects.last().map_or(0, |object| object.to)
    }

    pub(crate) fn last_term(&self) -> Option<Term> {
        self.objects.last().map(|object| object.term)
    }

    /// Who wrote what begins at or after `offset`.
    pub(crate) fn terms_from(&self, offset: u64) -> Vec<Term> {
        let later = self.objects.iter().filter(|object| object.from >= offset);
        later.map(|object| object.term).collect()
    }

    /// One conditional put; afterwards the chain must be as promised.
    pub(crate) fn put(&mut self, object: Object) -> Put {
        if let Some(taken) = self.objects.iter().find(|known| known.from == object.from) {
            return Put::Taken(*taken);
        }
        assert_eq!(object.from, self.end(), "a hole in the chain: {object:?}");
        if let Some(last) = self.objects.last() {
            assert!(object.term >= last.term, "{object:?} was accepted after {last:?}");
        }
        self.objects.push(object);
        Put::Stored
    }
}
