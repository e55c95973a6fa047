//! SHA-256 of a stream, with its length.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Most bytes hashed before the runtime gets a chance to do something else: about a millisecond of work.
const SLICE: usize = 256 * 1024;

/// Bytes seen so far.
#[derive(Clone, Default)]
pub(crate) struct RunningDigest {
    hash: Sha256,
    bytes: u64,
}

impl RunningDigest {
    /// Adds bytes; lets other tasks run in between when there are many.
    pub(crate) async fn update(&mut self, data: &[u8]) {
        self.bytes += data.len() as u64;
        let mut slices = data.chunks(SLICE);
        if let Some(first) = slices.next() {
            self.hash.update(first);
        }
        for slice in slices {
            tokio::task::yield_now().await;
            self.hash.update(slice);
        }
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The hash as 64 lower-case hexadecimal digits.
    pub(crate) fn hex(self) -> String {
        hex(self.hash)
    }
}

/// SHA-256 of a short text, as manifests write it: 64 lower-case hexadecimal digits.
pub fn sha256_hex(text: &str) -> String {
    hex(Sha256::new().chain_update(text))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn many_small_and_one_large_piece_hash_alike() {
        let data = vec![7_u8; SLICE * 3 + 5];
        let mut whole = RunningDigest::default();
        whole.update(&data).await;
        let mut pieces = RunningDigest::default();
        for piece in data.chunks(1000) {
            pieces.update(piece).await;
        }
        assert_eq!(whole.bytes(), data.len() as u64);
        assert_eq!(whole.hex(), pieces.hex());
    }

    #[tokio::test]
    async fn nothing_has_the_well_known_hash() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(RunningDigest::default().hex(), empty);
    }
}
