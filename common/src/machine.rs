//! IO. The machine that this process runs on.

use std::fs;

/// The name of this machine, as far as it has one.
pub fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "host".into() } else { name.into() }
}
