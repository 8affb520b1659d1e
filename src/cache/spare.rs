//! Memory that was given back and waits to be filled again.
//!
//! A fresh buffer costs a page fault for every 4 KiB that is written to it, which is dearer than what it is filled with.

use std::collections::VecDeque;

use crate::sync::{Mutex, lock};

/// What is smaller, in bytes, the allocator keeps at hand by itself.
const SMALLEST: usize = 64 * 1024;

/// Buffers without an owner, the ones given back last at the end. The budget does not count them, so they are few.
#[derive(Debug)]
pub(super) struct Spares {
    limit: usize,
    buffers: Mutex<VecDeque<Vec<u8>>>,
}

impl Spares {
    /// Room for `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, buffers: Mutex::default() }
    }

    /// An empty buffer for `length` bytes. A spare one is taken only where it is exactly that large: a larger one would
    /// hold more memory than is paid for.
    pub(super) fn take(&self, length: usize) -> Vec<u8> {
        let spare = if length < SMALLEST { None } else { self.find(length) };
        spare.unwrap_or_else(|| Vec::with_capacity(length))
    }

    fn find(&self, length: usize) -> Option<Vec<u8>> {
        let mut buffers = lock(&self.buffers);
        let place = buffers.iter().rposition(|buffer| buffer.capacity() == length)?;
        buffers.remove(place)
    }

    /// Takes a buffer back; the oldest ones go for good where there is no room for all.
    pub(super) fn give(&self, mut buffer: Vec<u8>) {
        if !(SMALLEST..=self.limit).contains(&buffer.capacity()) {
            return;
        }
        buffer.clear();
        let mut buffers = lock(&self.buffers);
        buffers.push_back(buffer);
        let mut held: usize = buffers.iter().map(Vec::capacity).sum();
        let mut gone = Vec::new();
        while held > self.limit {
            let Some(oldest) = buffers.pop_front() else { break };
            held -= oldest.capacity();
            gone.push(oldest);
        }
        // Giving memory back to the system takes its time, which nobody should wait for.
        drop(buffers);
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    fn held(spares: &Spares) -> Vec<usize> {
        lock(&spares.buffers).iter().map(Vec::capacity).collect()
    }

    #[test]
    fn a_buffer_is_used_again_empty_and_only_for_its_own_length() {
        let spares = Spares::new(1024 * KIB);
        let mut buffer = spares.take(512 * KIB);
        buffer.extend_from_slice(b"somebody else's bytes");
        let place = buffer.as_ptr();
        spares.give(buffer);
        let other = spares.take(256 * KIB);
        assert_ne!(other.as_ptr(), place);
        let again = spares.take(512 * KIB);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        assert!(held(&spares).is_empty());
    }

    #[test]
    fn spare_memory_stays_within_its_limit_and_the_oldest_goes() {
        let spares = Spares::new(1024 * KIB);
        for length in [128, 256, 512, 640, 2048, 1] {
            spares.give(Vec::with_capacity(length * KIB));
        }
        assert_eq!(held(&spares), [640 * KIB]);
        spares.give(Vec::with_capacity(128 * KIB));
        assert_eq!(held(&spares), [640 * KIB, 128 * KIB]);
    }
}
