//! Google's own Python clients find nothing in the double that the service would do otherwise.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::Command;

use bigquery_double::run::{Double, Options};
use bigquery_double::world::Settings;

/// The interpreter that has Google's clients.
fn python() -> Option<PathBuf> {
    if let Some(python) = std::env::var_os("STOWAGE_PYTHON") {
        return Some(python.into());
    }
    let found = Command::new(here().join("../python.sh")).output().ok();
    let found = found.filter(|output| output.status.success())?;
    Some(String::from_utf8(found.stdout).unwrap().trim().into())
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every check passes: none may fail, none is left out.
async fn judge(settings: Settings) {
    let Some(python) = python() else {
        assert!(std::env::var_os("CI").is_none(), "Google's clients are needed: scripts/python.sh");
        eprintln!("SKIPPED: Google's clients could not be installed by scripts/python.sh");
        return;
    };
    let double = Double::start(Options { settings, ..Options::default() }).await.unwrap();
    let mut judge = Command::new(python);
    judge.arg(here().join("conformance.py"));
    judge.args(["--rest", &format!("http://{}", double.rest)]);
    judge.args(["--grpc", &double.grpc.to_string()]);
    let judged = tokio::task::spawn_blocking(move || judge.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&judged.stdout);
    let why = String::from_utf8_lossy(&judged.stderr);
    assert!(judged.status.success(), "{said}{why}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.ends_with(" passed, 0 failed, 0 skipped"), "{said}");
    let passed: usize = last.split(' ').next().unwrap().parse().unwrap();
    assert!(passed >= 71, "only {passed} checks");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn google_s_clients_agree_with_the_double() {
    judge(Settings::default()).await;
}

/// Where the service is known to do either, its clients go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn google_s_clients_agree_with_the_double_in_its_other_ways() {
    let settings = Settings {
        headers_with_first_answer: true,
        too_large_ends_connection: true,
        ..Settings::default()
    };
    judge(settings).await;
}
