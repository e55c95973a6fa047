//! Merkle trees as RFC 6962, section 2.1, builds them: a tree of `n` leaves splits at the largest power of two below `n`.

use sha2::{Digest as _, Sha256};

use super::hash::{Digest, NODE};

fn node(left: &Digest, right: &Digest) -> Digest {
    Sha256::new().chain_update([NODE]).chain_update(left).chain_update(right).finalize().into()
}

/// Where a tree of `leaves` leaves splits: at the largest power of two below. There are at least two.
fn split(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}

/// The root over these leaves. Without leaves it is the hash of nothing.
pub fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
            node(&root(left), &root(right))
        }
    }
}

/// The hashes that lead from the leaf at `index` to the root, from below. Nothing if there is no such leaf.
pub fn proof(leaves: &[Digest], index: usize) -> Option<Vec<Digest>> {
    if index >= leaves.len() {
        return None;
    }
    if leaves.len() == 1 {
        return Some(Vec::new());
    }
    let at = split(leaves.len() as u64) as usize;
    let (left, right) = leaves.split_at(at);
    let (mut path, sibling) =
        if index < at { (proof(left, index)?, root(right)) } else { (proof(right, index - at)?, root(left)) };
    path.push(sibling);
    Some(path)
}

/// The root to which `path` leads from `leaf`, the one at `index` of `leaves`. Nothing if the path does not fit the place.
pub fn root_from(leaf: &Digest, index: u64, leaves: u64, path: &[Digest]) -> Option<Digest> {
    if index >= leaves {
        return None;
    }
    if leaves == 1 {
        return path.is_empty().then_some(*leaf);
    }
    let (sibling, below) = path.split_last()?;
    let at = split(leaves);
    if index < at {
        Some(node(&root_from(leaf, index, at, below)?, sibling))
    } else {
        Some(node(sibling, &root_from(leaf, index - at, leaves - at, below)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaves(count: usize) -> Vec<Digest> {
        (0..count).map(|index| Sha256::digest(index.to_be_bytes()).into()).collect()
    }

    proptest! {
        #[test]
        fn a_proof_leads_to_the_root_from_its_own_leaf_only(count in 1_usize..70, at in 0_usize..70, other in 0_usize..70) {
            let (at, other) = (at % count, other % count);
            let leaves = leaves(count);
            let path = proof(&leaves, at).unwrap();
            let from = |leaf: usize, index: usize| root_from(&leaves[leaf], index as u64, count as u64, &path);
            prop_assert_eq!(from(at, at), Some(root(&leaves)));
            if other != at {
                prop_assert_ne!(from(other, at), Some(root(&leaves)));
                prop_assert_ne!(from(at, other), Some(root(&leaves)));
            }
        }
    }

    #[test]
    fn a_path_of_another_length_fits_nowhere() {
        let leaves = leaves(5);
        let path = proof(&leaves, 4).unwrap();
        assert_eq!(path.len(), 1, "the fifth hangs right below the root");
        assert_eq!(root_from(&leaves[4], 4, 5, &[]), None);
        assert_eq!(root_from(&leaves[4], 4, 5, &[path[0], path[0]]), None);
        // Whoever writes a file can write any number.
        assert_eq!(root_from(&leaves[4], u64::MAX - 1, u64::MAX, &path), None);
        assert_eq!((root_from(&leaves[4], 5, 5, &path), proof(&leaves, 5)), (None, None));
    }
}
