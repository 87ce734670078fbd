//! Checks of the code itself: module tags, purity, size and names.
//!
//! Every source file opens with `//! Pure.` or `//! IO.` and a sentence; `lib.rs`, `main.rs` and
//! `mod.rs` only with a sentence. A pure one must not touch a runtime, a client, a clock, a file,
//! the environment or a generator of randomness that is not handed to it.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};

const CODE_LINES_MAX: usize = 400;

const MEMBERS: [&str; 7] = [
    "common",
    "monitor",
    "orchestrator",
    "consumer",
    "scripts/bigquery",
    "scripts/e2e",
    "scripts/fuzz",
];

const UNTAGGED: [&str; 3] = ["lib.rs", "main.rs", "mod.rs"];

/// Names that say nothing of what a file holds.
const BANNED_NAMES: [&str; 14] = [
    "utils",
    "util",
    "helpers",
    "helper",
    "misc",
    "types",
    "errors",
    "error",
    "traits",
    "prelude",
    "common",
    "shared",
    "constants",
    "stuff",
];

/// What only files with a tag of IO may name.
const IMPURE: [&str; 19] = [
    "async ",
    ".await",
    "tokio::",
    "rdkafka",
    "kube::",
    "reqwest::",
    "axum::",
    "object_store",
    "rustix::",
    "Instant::now",
    "SystemTime",
    "rand::rng()",
    "rand::random",
    "make_rng",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
];

/// What only one file may name.
const RESERVED: [(&str, &[&str]); 3] = [
    ("env::var", &["/args.rs", "/docs_page.rs"]),
    ("Instant::now", &["/run.rs", "common/src/clock.rs"]),
    ("SystemTime::now", &["/run.rs", "common/src/clock.rs"]),
];

/// Words that say that something is not done.
const UNFINISHED: [&str; 5] = ["TODO", "FIXME", "XXX", "todo!", "unimplemented!"];

#[test]
fn sources_are_tidy() {
    let workspace = workspace();
    let mut problems = Vec::new();
    let mut checked = 0;
    for member in MEMBERS {
        for path in rust_files(&workspace.join(member).join("src")) {
            checked += 1;
            let text = fs::read_to_string(&path).unwrap();
            problems.extend(check(&name(&path), &text));
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    assert!(checked > 40, "only {checked} files were found");
}

/// No member of the workspace is left out of these checks.
#[test]
fn members_are_those_of_the_workspace() {
    let manifest = fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
    let declared = manifest.lines().find(|line| line.starts_with("members = ")).unwrap();
    let quoted: Vec<_> = declared.split('"').skip(1).step_by(2).collect();
    assert_eq!(quoted, MEMBERS);
}

#[test]
fn tests_and_benches_are_finished() {
    let mut problems = Vec::new();
    for member in MEMBERS {
        for folder in ["tests", "benches", "fuzz"] {
            for path in rust_files(&workspace().join(member).join(folder)) {
                let text = fs::read_to_string(&path).unwrap();
                if !path.ends_with("tests/tidy.rs") {
                    problems.extend(unfinished(&name(&path), &text));
                }
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

fn check(name: &str, text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut problems = unfinished(name, text);
    problems.extend(check_opening(name, text));
    problems.extend(check_name(name));
    let code_lines = code.lines().count();
    if code_lines > CODE_LINES_MAX {
        problems.push(format!("{name}: {code_lines} lines, at most {CODE_LINES_MAX}"));
    }
    let is_pure = text.starts_with("//! Pure.");
    for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
        if is_pure {
            for token in IMPURE.iter().filter(|token| names(line, token)) {
                problems.push(format!("{name}: `{token}` in a pure module: {}", line.trim()));
            }
        }
        for (token, places) in RESERVED {
            if names(line, token) && !places.iter().any(|place| name.ends_with(place)) {
                problems.push(format!("{name}: `{token}` belongs in {}", places.join(" or ")));
            }
        }
    }
    problems
}

/// Whether the line holds the token, and not as the beginning of a longer word.
fn names(line: &str, token: &str) -> bool {
    line.match_indices(token).any(|(at, _)| {
        let next = line[at + token.len()..].chars().next();
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        !(token.ends_with(is_word) && next.is_some_and(is_word))
    })
}

fn check_opening(name: &str, text: &str) -> Option<String> {
    let file = file_name(name);
    let first = text.lines().next().unwrap_or_default();
    let sentence = match () {
        () if UNTAGGED.contains(&file) => first.strip_prefix("//! "),
        () => first.strip_prefix("//! Pure. ").or_else(|| first.strip_prefix("//! IO. ")),
    };
    match sentence {
        Some(sentence) if !sentence.trim().is_empty() => None,
        _ if UNTAGGED.contains(&file) => Some(format!("{name}: no module documentation")),
        _ => Some(format!("{name}: opens with neither `//! Pure. …` nor `//! IO. …`")),
    }
}

fn check_name(name: &str) -> Option<String> {
    let stems = name.split('/').skip_while(|part| *part != "src").skip(1);
    let banned =
        stems.map(|part| part.trim_end_matches(".rs")).find(|stem| BANNED_NAMES.contains(stem));
    banned.map(|stem| format!("{name}: `{stem}` does not say what it holds"))
}

fn unfinished(name: &str, text: &str) -> Vec<String> {
    let found = UNFINISHED.iter().filter(|word| text.contains(**word));
    found.map(|word| format!("{name}: `{word}`")).collect()
}

fn file_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn name(path: &Path) -> String {
    path.strip_prefix(workspace()).unwrap().display().to_string()
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.expect("a readable directory").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[test]
fn a_pure_module_may_not_await() {
    let text = "//! Pure. A plan.\n\nasync fn plan() {}\n";
    assert_eq!(
        check("x/src/plan.rs", text),
        ["x/src/plan.rs: `async ` in a pure module: async fn plan() {}"]
    );
    let text = "//! Pure. A plan.\nlet x = seat.awaits;\n";
    assert_eq!(check("x/src/plan.rs", text), [""; 0]);
    let text = "//! Pure. Never calls tokio::spawn.\n// .await\n#[cfg(test)]\nuse tokio::test;\n";
    assert_eq!(check("x/src/plan.rs", text), [""; 0]);
}

#[test]
fn a_file_says_what_it_is() {
    assert_eq!(check("x/src/lib.rs", "//! A library.\n"), [""; 0]);
    for text in ["", "//! A plan.\n", "//! Pure.\n", "use std::fmt;\n"] {
        assert_eq!(
            check("x/src/plan.rs", text),
            ["x/src/plan.rs: opens with neither `//! Pure. …` nor `//! IO. …`"],
            "{text}"
        );
    }
}

#[test]
fn a_name_says_what_a_file_holds() {
    let problems = check("x/src/utils/plan.rs", "//! IO. A plan.\n");
    assert_eq!(problems, ["x/src/utils/plan.rs: `utils` does not say what it holds"]);
    assert_eq!(check_name("common/src/chain.rs"), None);
}

#[test]
fn only_args_reads_the_environment_and_only_run_the_clock() {
    let read = "//! IO. Reads.\nlet x = env::var(\"X\");\n";
    assert_eq!(
        check("x/src/plan.rs", read),
        ["x/src/plan.rs: `env::var` belongs in /args.rs or /docs_page.rs"]
    );
    assert_eq!(check("x/src/args.rs", read), [""; 0]);
    let clock = "//! IO. Reads.\nlet now = Instant::now();\n";
    assert_eq!(check("x/src/sense.rs", clock).len(), 1);
    assert_eq!(check("x/src/run.rs", clock), [""; 0]);
}

#[test]
fn a_long_file_is_too_long_without_its_tests_only() {
    let long = format!("//! IO. Long.\n{}", "x\n".repeat(CODE_LINES_MAX));
    assert_eq!(check("x/src/plan.rs", &long), ["x/src/plan.rs: 401 lines, at most 400"]);
    let tested = format!("//! IO. Long.\n#[cfg(test)]\n{}", "x\n".repeat(CODE_LINES_MAX));
    assert_eq!(check("x/src/plan.rs", &tested), [""; 0]);
}
