//! IO. How much memory the services take, at most.

use std::collections::BTreeMap;
use std::fs;

/// The most that one process of each service held at a time, in MiB.
pub type Peaks = BTreeMap<&'static str, u64>;

const KIB_PER_MIB: u64 = 1_024;

/// Looks at what a process has held at most so far. One that has ended says nothing.
pub fn look(peaks: &mut Peaks, service: &'static str, pid: u32) {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return };
    if let Some(kib) = resident_max_kib(&status) {
        let peak = peaks.entry(service).or_default();
        *peak = (kib / KIB_PER_MIB).max(*peak);
    }
}

fn resident_max_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_counts_of_all_processes_of_a_service() {
        let mut peaks = Peaks::new();
        look(&mut peaks, "consumer", std::process::id());
        let own = peaks["consumer"];
        look(&mut peaks, "consumer", u32::MAX);
        assert!(own > 0 && peaks["consumer"] == own);
        assert_eq!(resident_max_kib("VmPeak:\t9 kB\nVmHWM:\t  2048 kB\n"), Some(2_048));
        assert_eq!(resident_max_kib("VmPeak:\t9 kB\n"), None);
    }
}
