//! The kernel side: the only module that names `fuser`.
