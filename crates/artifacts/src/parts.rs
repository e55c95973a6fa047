//! Cuts a stream of bytes into the parts of a multipart upload, without copying what is already large.

use bytes::{Bytes, BytesMut};
use object_store::PutPayload;

const MIB: usize = 1024 * 1024;

/// Most parts that S3 accepts in one object.
pub(crate) const MAX_PARTS: u32 = 10_000;

/// Pieces below this are copied together: a list of thousands of tiny slices costs more than the copy, and each would
/// keep the larger buffer alive that it was cut from.
const SMALL: usize = 16 * 1024;

/// The size of part `number` (from 1). S3 takes 10,000 parts, so constant parts of 8 MiB would end at 78 GiB; growing
/// ones reach 430 GiB while everything below 8 GiB needs three small buffers.
pub(crate) fn part_size(number: u32) -> usize {
    match number {
        0..=1_000 => 8 * MIB,
        1_001..=4_000 => 16 * MIB,
        _ => 64 * MIB,
    }
}

/// Bytes that wait to become a part.
#[derive(Debug, Default)]
pub(crate) struct PartBuffer {
    chunks: Vec<Bytes>,
    tail: BytesMut,
    bytes: usize,
}

impl PartBuffer {
    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    /// Adds bytes, at most up to `limit` in all; answers the rest.
    pub(crate) fn fill(&mut self, mut data: Bytes, limit: usize) -> Bytes {
        let piece = data.split_to(data.len().min(limit.saturating_sub(self.bytes)));
        self.bytes += piece.len();
        if piece.len() < SMALL {
            self.tail.extend_from_slice(&piece);
            if self.tail.len() >= 4 * SMALL {
                self.close_tail();
            }
        } else {
            self.close_tail();
            self.chunks.push(piece);
        }
        data
    }

    /// Everything that waits, as one part.
    pub(crate) fn take(&mut self) -> PutPayload {
        self.close_tail();
        self.bytes = 0;
        std::mem::take(&mut self.chunks).into_iter().collect()
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push(self.tail.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_object_passes_400_gib_within_the_part_limit() {
        let all: u64 = (1..=MAX_PARTS).map(|number| part_size(number) as u64).sum();
        assert!(all > 400 * 1024 * MIB as u64, "{all}");
        assert!((1..=MAX_PARTS).all(|number| part_size(number) >= 5 * MIB), "S3 refuses smaller parts");
    }

    #[test]
    fn small_and_large_pieces_come_out_in_order_and_cut_exactly() {
        let mut buffer = PartBuffer::default();
        let mut expected = Vec::new();
        for (value, size) in [(1_u8, 10), (2, SMALL), (3, 3), (4, SMALL * 3), (5, 0), (6, SMALL * 5 / 2)] {
            let data = Bytes::from(vec![value; size]);
            expected.extend_from_slice(&data);
            assert!(buffer.fill(data, usize::MAX).is_empty());
        }
        assert_eq!(buffer.len(), expected.len());
        assert_eq!(Bytes::from(buffer.take()), expected);
        assert_eq!(buffer.len(), 0);
        let rest = buffer.fill(Bytes::from(vec![9; 100]), 60);
        assert_eq!((buffer.len(), rest.len()), (60, 40));
    }
}
