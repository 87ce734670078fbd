//! IO. How the system's allocator shares memory among threads.

/// Pools of memory from now on: enough that threads seldom wait for each other. Left alone, glibc
/// makes eight for each core, and what one thread frees in its pool is of no use to the others.
const POOLS: libc::c_int = 2;

/// Lets all threads share a few pools of memory. Nothing happens where the allocator is another.
#[expect(unsafe_code, reason = "docs/adr/0003")]
pub fn share_pools() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes two numbers, and may come at any time.
    let _is_done = unsafe { libc::mallopt(libc::M_ARENA_MAX, POOLS) };
}
