//! IO. Fuzz target: files of settings, and lines of rates.
#![no_main]

use common::settings::parse_settings;
use libfuzzer_sys::fuzz_target;
use orchestrator::simulate::line::Step;

fuzz_target!(|text: &str| {
    let _ = parse_settings(text, |_| None);
    for (line, text) in text.lines().enumerate() {
        let _ = Step::parse(text, line);
    }
});
