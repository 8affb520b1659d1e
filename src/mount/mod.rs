//! The kernel side: the only module that names `fuser`.
//!
//! | file | subject |
//! |---|---|
//! | [`point`] | the folder to mount at, checked before anything else |
//! | [`session`] | mounting, and what is agreed with the kernel |
//! | `kernel` | mount(2) without a helper, for root |
//! | `adapter` | callbacks: open a span, call the filesystem, reply |
//! | `convert` | the filesystem's values in the kernel's words |
//! | [`life`] | from the mount to its end: signals, unmounting from outside |
//! | [`unmount`], [`mountinfo`] | ending a mount; what is mounted where |
//! | [`daemon`] | going into the background |

mod adapter;
mod convert;
pub mod daemon;
mod kernel;
pub mod life;
pub mod mountinfo;
pub mod point;
pub mod session;
pub mod unmount;

#[cfg(test)]
mod tests;
