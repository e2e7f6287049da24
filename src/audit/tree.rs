//! The Merkle tree over the records (RFC 6962): what has to be kept of it to go on, its root,
//! and proofs.
//!
//! A leaf is the line of a record, exactly as it stands in the log, without its line end.

mod proof;
#[cfg(test)]
mod tests;

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use base64::prelude::{BASE64_STANDARD, Engine};

pub(super) use proof::Proof;

pub(super) type Hash = [u8; SHA256_OUTPUT_LEN];

/// The hash of a record.
pub(super) fn leaf(record: &[u8]) -> Hash {
    hash(&[&[0], record])
}

fn node(left: &Hash, right: &Hash) -> Hash {
    hash(&[&[1], left, right])
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = Hash::default();
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

pub(super) fn encode(hash: &Hash) -> String {
    BASE64_STANDARD.encode(hash)
}

pub(super) fn decode(text: &str) -> Option<Hash> {
    BASE64_STANDARD.decode(text).ok()?.try_into().ok()
}

/// A tree that grows at its right end. Of what it holds, only the roots of its largest complete
/// subtrees are kept: one for each bit that is set in `size`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tree {
    size: u64,
    /// From left to right, which is from the largest to the smallest.
    edge: Vec<Hash>,
}

impl Tree {
    /// The tree of this size with this edge; `None` if these do not fit together.
    pub(super) fn with_edge(size: u64, edge: Vec<Hash>) -> Option<Self> {
        (size.count_ones() as usize == edge.len()).then_some(Self { size, edge })
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn edge(&self) -> &[Hash] {
        &self.edge
    }

    pub(super) fn push(&mut self, leaf: Hash) {
        self.push_subtree(leaf, 0);
    }

    /// Adds a complete subtree of 2^`height` leaves. Smaller ones must not stand before it.
    fn push_subtree(&mut self, mut root: Hash, height: u32) {
        debug_assert!(self.size.is_multiple_of(1 << height));
        let mut at = self.size >> height;
        while at & 1 == 1 {
            let Some(left) = self.edge.pop() else { break };
            root = node(&left, &root);
            at >>= 1;
        }
        self.edge.push(root);
        self.size += 1 << height;
    }

    pub(super) fn root(&self) -> Hash {
        let mut nodes = self.edge.iter().rev();
        let Some(last) = nodes.next() else {
            return hash(&[]);
        };
        nodes.fold(*last, |right, left| node(left, &right))
    }
}
