//! Which images exist: listings turned into an immutable snapshot.
