//! A process that is asked to end by signals, seen from outside.

#![expect(clippy::unwrap_used, reason = "a test")]
#![expect(clippy::disallowed_methods, reason = "a test of processes reads its environment")]

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use common::shutdown::Shutdown;
use rustix::process::{Pid, Signal, kill_process};

const CHILD: &str = "STOWAGE_TEST_SHUTDOWN_CHILD";

/// Starts this very test as a process that says "ready" and then waits.
fn start(behaviour: &str) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, behaviour)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    wait_for(&mut output, "ready");
    (child, output)
}

fn wait_for(output: &mut BufReader<ChildStdout>, word: &str) {
    let mut line = String::new();
    while !line.trim_end().ends_with(word) {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "the process ended before `{word}`");
    }
}

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap()
}

/// The first signal lets a process end in its own way.
#[test]
fn the_first_signal_asks() {
    for signal in [Signal::TERM, Signal::INT] {
        let (mut child, _output) = start("polite");
        send(&child, signal);
        assert_eq!(code(child.wait().unwrap()), 0);
    }
}

/// The second signal ends a process that is still busy, with 128 + its number.
#[test]
fn the_second_signal_does_not_wait() {
    for (signal, expected) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let (mut child, mut output) = start("busy");
        send(&child, Signal::TERM);
        wait_for(&mut output, "asked");
        send(&child, signal);
        assert_eq!(code(child.wait().unwrap()), expected);
    }
}

/// A process that began to end by itself is not cut short by the first signal.
#[test]
fn a_request_of_the_program_counts_as_no_signal() {
    let (mut child, _output) = start("by-itself");
    send(&child, Signal::TERM);
    assert_eq!(code(child.wait().unwrap()), 0);
}

/// What the other tests start; by itself it does nothing.
#[test]
fn child() {
    let Ok(behaviour) = env::var(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let shutdown = Shutdown::install().unwrap();
        if behaviour == "by-itself" {
            shutdown.request();
        }
        println!("ready");
        shutdown.requested().await;
        println!("asked");
        match behaviour.as_str() {
            "busy" => std::future::pending().await,
            "by-itself" => tokio::time::sleep(Duration::from_millis(300)).await,
            _ => {}
        }
    });
}
