//! How many files the program may have open.

/// Takes all that the system grants. Each upload that waits has its file open, so that no other process takes it, and the
/// 1024 that a program may have at first are soon used up behind `--write-back`.
pub fn take_all() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a structure that outlives the call, which fills it.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return;
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: a structure that outlives the call, which reads it.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        tracing::debug!(error = %std::io::Error::last_os_error(), "no more files can be open at once");
    }
}
