//! IO. Which process holds the other end of a local connection.

use std::fs;
use std::net::Ipv4Addr;

/// The process that connected from this port of 127.0.0.1 to that one.
pub fn process_of(from: u16, to: u16) -> Option<u32> {
    let inode = inode_of(&fs::read_to_string("/proc/net/tcp").ok()?, from, to)?;
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| holds(*pid, &socket))
}

fn holds(pid: u32, socket: &str) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files
        .into_iter()
        .any(|file| fs::read_link(file.path()).is_ok_and(|target| target.to_str() == Some(socket)))
}

/// From the kernel's table: slot, local address, remote address, state, …, inode.
fn inode_of(table: &str, from: u16, to: u16) -> Option<u64> {
    let (from, to) = (address(from), address(to));
    let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row.get(1) == Some(&&*from) && row.get(2) == Some(&&*to))?;
    row.get(9)?.parse().ok()
}

/// As the kernel writes it: the bytes as this machine holds a number of 32 bits.
fn address(port: u16) -> String {
    let number = u32::from_ne_bytes(Ipv4Addr::LOCALHOST.octets());
    format!("{number:08X}:{port:04X}")
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_of_this_process_is_its_own() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", to)).unwrap();
        let from = client.local_addr().unwrap().port();
        assert_eq!(process_of(from, to), Some(std::process::id()));
        assert_eq!(process_of(from, to.wrapping_add(1)), None);
    }
}
