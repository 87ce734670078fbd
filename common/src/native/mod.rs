//! Our only unsafe code: calls that no safe library offers, see docs/adr/0003.

pub mod allocator;
pub mod kafka;
