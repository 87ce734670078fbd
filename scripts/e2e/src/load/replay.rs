//! IO. The lines of a file as records, byte by byte as they are, from the start again at the end.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Seek as _};
use std::path::{Path, PathBuf};

use super::event::Event;

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("failed to open {path} for replay")]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to read {path} for replay")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} holds no line that could be replayed")]
    Empty { path: PathBuf },
}

/// A file that is read in circles. A line is a record without key; its line feed is not part of
/// it, and a line without any byte is none.
#[derive(Debug)]
pub struct Replay {
    path: PathBuf,
    reader: BufReader<File>,
}

impl Replay {
    /// Fails when the file cannot be read or has no line.
    pub fn open(path: &Path) -> Result<Self, ReplayError> {
        let file =
            File::open(path).map_err(|source| ReplayError::Open { path: path.into(), source })?;
        let mut replay = Self { path: path.into(), reader: BufReader::new(file) };
        replay.next_event()?;
        replay.rewind()?;
        Ok(replay)
    }

    /// The next line, the first one after the last.
    pub fn next_event(&mut self) -> Result<Event, ReplayError> {
        let mut rewound = false;
        loop {
            match self.next_line()? {
                Some(line) if line.is_empty() => {}
                Some(value) => return Ok(Event { key: None, value }),
                None if rewound => return Err(ReplayError::Empty { path: self.path.clone() }),
                None => {
                    self.rewind()?;
                    rewound = true;
                }
            }
        }
    }

    fn next_line(&mut self) -> Result<Option<Vec<u8>>, ReplayError> {
        let mut line = Vec::new();
        let read = self.reader.read_until(b'\n', &mut line).map_err(|error| self.failed(error))?;
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        Ok((read > 0).then_some(line))
    }

    fn rewind(&mut self) -> Result<(), ReplayError> {
        self.reader.rewind().map_err(|error| self.failed(error))
    }

    fn failed(&self, source: io::Error) -> ReplayError {
        ReplayError::Read { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(content: &[u8], count: usize) -> Vec<Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        std::fs::write(&path, content).unwrap();
        let mut replay = Replay::open(&path).unwrap();
        (0..count).map(|_| replay.next_event().unwrap().value).collect()
    }

    #[test]
    fn lines_come_as_they_are_and_from_the_start_again() {
        let content = b"{\"a\": 1}\r\n\nnot json \xff\n{\"b\":2}";
        let expected: [&[u8]; 4] =
            [b"{\"a\": 1}\r", b"not json \xff", b"{\"b\":2}", b"{\"a\": 1}\r"];
        assert_eq!(lines(content, 4), expected);
    }

    #[test]
    fn a_file_without_lines_is_refused_at_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "\n\n").unwrap();
        assert!(matches!(Replay::open(file.path()), Err(ReplayError::Empty { .. })));
        assert!(matches!(Replay::open(Path::new("/nonexistent")), Err(ReplayError::Open { .. })));
    }
}
