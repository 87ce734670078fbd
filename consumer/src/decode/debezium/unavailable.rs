//! Pure. Values that a source did not tell because they did not change: a text stands for each.

/// The text, and the columns where it stood in the open row.
#[derive(Debug)]
pub(in crate::decode) struct Unavailable<'f> {
    text: &'f str,
    pub(super) names: Vec<String>,
}

impl<'f> Unavailable<'f> {
    pub(super) fn new(text: &'f str) -> Self {
        Self { text, names: Vec::new() }
    }

    /// Whether the value of the column `name` is not known; then it is noted.
    pub(in crate::decode) fn note(&mut self, name: &str, value: &[u8]) -> bool {
        let is_it = value == self.text.as_bytes();
        if is_it {
            self.names.push(name.into());
        }
        is_it
    }
}
