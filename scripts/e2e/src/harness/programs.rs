//! IO. Finds the programs of the system and its scripts.

use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error("failed to find out where this program lies")]
    Here {
        #[source]
        source: io::Error,
    },
    #[error("{program} is not built: {} is missing (cargo build --workspace)", path.display())]
    Missing { program: &'static str, path: PathBuf },
}

/// The path of a program of this workspace: beside this one, or above it where tests lie.
pub fn program(program: &'static str) -> Result<PathBuf, ProgramError> {
    let here = std::env::current_exe().map_err(|source| ProgramError::Here { source })?;
    let folder = here.parent().unwrap_or(Path::new("."));
    let folder = if folder.ends_with("deps") { folder.join("..") } else { folder.into() };
    let path = folder.join(program);
    if path.is_file() { Ok(path) } else { Err(ProgramError::Missing { program, path }) }
}

/// The script `scripts/<name>` of this repository.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_built_is_named_with_its_place() {
        let error = program("no-such-program").unwrap_err().to_string();
        assert!(error.starts_with("no-such-program is not built: "), "{error}");
        assert!(script("e2e").join("Cargo.toml").is_file());
    }
}
