//! Pages of the documentation whose lines are run: how they are read, what a line has to print, and where it is typed.

pub(crate) mod home;
pub(crate) mod page;
pub(crate) mod printed;
pub(crate) mod shapes;
