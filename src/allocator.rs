//! How the allocator of the C library is set.

/// Makes every buffer of 128 KiB or more a mapping of its own, which is gone as soon as it is freed.
///
/// That is how glibc begins (`M_MMAP_THRESHOLD` of mallopt(3)). Left alone it raises the limit up to 32 MiB once such a
/// buffer was freed, takes the next ones from the heaps of its threads, and these keep twice the memory that is in use:
/// a program that held its `--memory` in bytes would exceed it in pages. Other C libraries need no such word.
pub fn give_back_large_buffers() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: the call takes two numbers and sets a limit of the allocator under the allocator's own lock.
        let accepted = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 128 * 1024) };
        if accepted == 0 {
            tracing::debug!("the allocator does not take a limit for its mappings");
        }
    }
}
