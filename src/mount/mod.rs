//! The kernel side: the only module that names `fuser`.
//!
//! | file | subject |
//! |---|---|
//! | [`point`] | the folder to mount at, checked before anything else |
//! | [`unmount`], [`mountinfo`] | ending a mount; what is mounted where |
//! | [`daemon`] | going into the background |

pub mod daemon;
pub mod mountinfo;
pub mod point;
pub mod unmount;
