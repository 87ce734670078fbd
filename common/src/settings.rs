//! IO. Reads files of `key=value` settings, and the files that those name for secrets.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Settings by name.
pub type Settings = BTreeMap<String, String>;

/// Why a text is no list of settings. Values are never shown.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingsError {
    #[error("line {line}: expected `key=value`")]
    Malformed { line: usize },
    #[error("line {line}: `{key}` was set before")]
    Repeated { line: usize, key: String },
    #[error("line {line}: `{key}` may not be set, {reason}")]
    Forbidden { line: usize, key: String, reason: &'static str },
}

#[derive(Debug, Error)]
pub enum SettingsFileError {
    #[error("failed to read the {what} settings {}", path.display())]
    Read {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to understand the {what} settings {}", path.display())]
    Parse {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: SettingsError,
    },
    #[error("failed to read the value of `{key}` from {}", path.display())]
    Secret {
        key: String,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{key}` and `{key}.file` are both set: choose one")]
    Both { key: String },
}

/// Reads lines of `key=value`; lines that are empty or begin with `#` say nothing. `forbidden` says
/// why a key is not the user's to set.
///
/// # Errors
/// Naming the first line that is malformed, repeats a key or sets what is not the user's to set.
pub fn parse_settings(
    text: &str,
    forbidden: impl Fn(&str) -> Option<&'static str>,
) -> Result<Settings, SettingsError> {
    let mut settings = Settings::new();
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (key, value) = text.split_once('=').ok_or(SettingsError::Malformed { line })?;
        let (key, value) = (key.trim(), value.trim());
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(SettingsError::Malformed { line });
        }
        if let Some(reason) = forbidden(key) {
            return Err(SettingsError::Forbidden { line, key: key.into(), reason });
        }
        if settings.insert(key.into(), value.into()).is_some() {
            return Err(SettingsError::Repeated { line, key: key.into() });
        }
    }
    Ok(settings)
}

/// Reads a file of settings, `what` it is about being shown in errors. A key that ends in `.file`
/// names a file that holds the value of the key before.
///
/// # Errors
/// If a file cannot be read, or a line is malformed or not the user's.
pub fn read_settings(
    what: &'static str,
    path: &Path,
    forbidden: impl Fn(&str) -> Option<&'static str>,
) -> Result<Settings, SettingsFileError> {
    let text = fs::read_to_string(path).map_err(|source| SettingsFileError::Read {
        what,
        path: path.into(),
        source,
    })?;
    let settings = parse_settings(&text, forbidden).map_err(|source| SettingsFileError::Parse {
        what,
        path: path.into(),
        source,
    })?;
    with_secrets(settings)
}

fn with_secrets(settings: Settings) -> Result<Settings, SettingsFileError> {
    let mut resolved = Settings::new();
    for (key, value) in settings {
        let (key, value) = match key.strip_suffix(".file") {
            Some(secret) => (secret.to_owned(), read_secret(secret, Path::new(&value))?),
            None => (key, value),
        };
        if resolved.insert(key.clone(), value).is_some() {
            return Err(SettingsFileError::Both { key });
        }
    }
    Ok(resolved)
}

fn read_secret(key: &str, path: &Path) -> Result<String, SettingsFileError> {
    let text = fs::read_to_string(path).map_err(|source| {
        let key = key.to_owned();
        SettingsFileError::Secret { key, path: path.into(), source }
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;
    use tempfile::NamedTempFile;

    use super::*;
    use crate::chain::Chain;

    fn parse(text: &str) -> Result<Settings, SettingsError> {
        parse_settings(text, |key| (key == "c").then_some("it is ours"))
    }

    fn file(text: &str) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn read_text(text: &str) -> Result<Settings, String> {
        let file = file(text);
        let read = read_settings("sink", file.path(), |_| None);
        read.map_err(|error| Chain(&error).to_string())
    }

    #[test]
    fn comments_and_spaces_say_nothing_and_values_may_hold_equal_signs() {
        let text = "# reach\n\nsecurity.protocol = SASL_SSL\r\nsasl.password=a=b#c\n";
        let settings = parse(text).unwrap();
        assert_eq!(settings["security.protocol"], "SASL_SSL");
        assert_eq!(settings["sasl.password"], "a=b#c");
        assert_eq!(settings.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_said_by_line() {
        let error = |text| parse(text).unwrap_err().to_string();
        assert_eq!(error("\nsecret"), "line 2: expected `key=value`");
        assert_eq!(error("=x"), "line 1: expected `key=value`");
        assert_eq!(error("a=1\na=2"), "line 2: `a` was set before");
        assert_eq!(error("c=mine"), "line 1: `c` may not be set, it is ours");
    }

    #[test]
    fn a_secret_comes_from_its_file_without_the_final_newline() {
        let secret = file("two words \n");
        let settings = read_text(&format!("user=me\nkey.file={}\n", secret.path().display()));
        let settings = settings.unwrap();
        assert_eq!(settings["key"], "two words ");
        assert!(!settings.contains_key("key.file"));
    }

    #[test]
    fn a_secret_is_given_once_and_a_missing_one_is_named() {
        let secret = file("x");
        let path = secret.path().display();
        let error = read_text(&format!("key=y\nkey.file={path}")).unwrap_err();
        assert_eq!(error, "`key` and `key.file` are both set: choose one");
        let error = read_text("key.file=/nonexistent").unwrap_err();
        assert!(
            error.starts_with("failed to read the value of `key` from /nonexistent: "),
            "{error}"
        );
        let error = read_settings("sink", Path::new("/nonexistent"), |_| None).unwrap_err();
        assert_eq!(error.to_string(), "failed to read the sink settings /nonexistent");
    }

    proptest! {
        /// Any text is either refused or read; nothing panics, and no key is read twice.
        #[test]
        fn any_text_is_read_or_refused(text in "([a-c.]{0,3}[=# \n]?){0,20}") {
            if let Ok(settings) = parse(&text) {
                let lines = text.lines().filter(|line| line.contains('=')).count();
                prop_assert!(settings.len() <= lines);
                prop_assert!(!settings.contains_key("c"));
            }
        }
    }
}
