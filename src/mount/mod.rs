//! The kernel side: the only module that names `fuser`.
//!
//! | file | subject |
//! |---|---|
//! | [`point`] | the folder to mount at, checked before anything else |
//! | [`guard`] | taking the mount of a program that died out of the tree |
//! | [`handed`] | a mount that another program has made |
//! | [`session`] | mounting, and what is agreed with the kernel |
//! | `kernel` | mount(2) without a helper, for root |
//! | `adapter` | callbacks: open a span, call the filesystem, reply |
//! | `reply` | replies that take more than a call |
//! | `convert` | the filesystem's values in the kernel's words |
//! | `backing` | local files that the kernel reads in our place |
//! | `caller` | who waits for an answer, and whether they can still use it |
//! | `waiting` | waiting for the network, until who waits is killed |
//! | `notify` | telling the kernel to drop pages |
//! | `memory` | how much memory the page cache may take |
//! | [`life`] | from the mount to its end: signals, unmounting from outside |
//! | [`manager`] | what a service manager is told meanwhile |
//! | [`unmount`], [`mountinfo`] | ending a mount; what is mounted where |
//! | [`daemon`] | going into the background |

mod adapter;
pub mod attribute;
mod backing;
mod caller;
mod convert;
pub mod daemon;
pub mod descriptors;
pub mod guard;
pub mod handed;
mod kernel;
pub mod life;
pub mod manager;
mod memory;
pub mod mountinfo;
mod notify;
pub mod point;
mod reply;
pub mod session;
pub mod unmount;
mod waiting;

#[cfg(test)]
mod tests;
