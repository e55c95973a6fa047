//! The worker: claims, runs and reports jobs. It knows no job kind.
