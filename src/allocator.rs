//! How the allocator of the C library is set, and what it is told.

/// The limit from which a buffer is a mapping of its own. What arrives from a connection comes in pieces of up to half a
/// MiB: a mapping for each would cost more, in faults of its pages, than reading it.
#[cfg(target_env = "gnu")]
const MAPPED: libc::c_int = 1 << 20;

/// The memory at the end of a heap that is kept for the next pieces from connections.
#[cfg(target_env = "gnu")]
const KEPT: libc::c_int = 4 << 20;

/// Makes every buffer of 1 MiB or more a mapping of its own, which is gone as soon as it is freed.
///
/// Left alone, glibc (mallopt(3)) begins with 128 KiB and raises that limit up to 32 MiB once such a buffer was freed; it
/// takes the next ones from the heaps of its threads, and these keep twice the memory that is in use. Other C libraries
/// need no such word.
pub fn give_back_large_buffers() {
    #[cfg(target_env = "gnu")]
    {
        for (limit, bytes) in [(libc::M_MMAP_THRESHOLD, MAPPED), (libc::M_TRIM_THRESHOLD, KEPT)] {
            // SAFETY: the call takes two numbers and sets a limit of the allocator under the allocator's own lock.
            let accepted = unsafe { libc::mallopt(limit, bytes) };
            if accepted == 0 {
                tracing::debug!(limit, "the allocator does not take this limit");
            }
        }
    }
}

/// Gives back what is free within the heaps, whole pages of it, as after a long listing: each thread that read a part of it
/// keeps some MiB, and what was in between has left gaps. It takes milliseconds.
pub fn give_back_gaps() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: the call takes a number, and gives back pages that nobody has, under the allocator's own locks.
        let any = unsafe { libc::malloc_trim(0) };
        tracing::debug!(any, "gave back free memory");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The resident memory of this process, in KiB.
    fn resident() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn what_is_free_in_between_is_given_back() {
        let mut rows: Vec<Box<[u8]>> = (0..1 << 16).map(|_| vec![7; 1024].into_boxed_slice()).collect();
        let last = rows.pop();
        drop(rows);
        let before = resident();
        give_back_gaps();
        let after = resident();
        let is_told = cfg!(target_env = "gnu");
        assert!(after + (32 << 10) < before || !is_told, "{before} and {after} KiB");
        drop(last);
    }
}
