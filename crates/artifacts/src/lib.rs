//! Artifacts: streaming multipart writer, manifest, fenced publish, sweeper, on object_store.
