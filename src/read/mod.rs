//! Readers of image data: ranged fetches in single flight, the shared stream, verification.
