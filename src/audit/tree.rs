//! The Merkle tree over the records (RFC 6962): what has to be kept of it to go on, its root,
//! and proofs.
//!
//! A leaf is the line of a record, exactly as it stands in the log, without its line end.

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use base64::prelude::{BASE64_STANDARD, Engine};

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

/// The proof that a leaf is in a tree, made while the leaves pass by from left to right.
#[derive(Debug)]
pub(super) struct Proof {
    index: u64,
    leaf: Option<Hash>,
    /// The subtrees whose roots are the proof, in the order of RFC 6962.
    parts: Vec<Part>,
}

/// The leaves from `from` on, up to `to`, which is not one of them.
#[derive(Debug)]
struct Part {
    from: u64,
    to: u64,
    tree: Tree,
}

impl Proof {
    /// A proof for the leaf `index` of a tree of `size` leaves; `None` if there is no such leaf.
    pub(super) fn new(index: u64, size: u64) -> Option<Self> {
        let mut parts = Vec::new();
        let (mut from, mut to) = (0, size);
        if index >= size {
            return None;
        }
        while to - from > 1 {
            let middle = from + split(to - from);
            let part = |from, to| Part {
                from,
                to,
                tree: Tree::default(),
            };
            if index < middle {
                parts.push(part(middle, to));
                to = middle;
            } else {
                parts.push(part(from, middle));
                from = middle;
            }
        }
        parts.reverse();
        Some(Self {
            index,
            leaf: None,
            parts,
        })
    }

    /// Takes the place of all leaves of `tree`. `false`: the leaf itself is among them.
    pub(super) fn begin(&mut self, tree: &Tree) -> bool {
        let mut from = 0;
        for (height, root) in heights(tree) {
            let to = from + (1 << height);
            if (from..to).contains(&self.index) {
                return false;
            }
            if let Some(part) = self.part(from) {
                part.tree.push_subtree(root, height);
            }
            from = to;
        }
        true
    }

    pub(super) fn push(&mut self, index: u64, leaf: Hash) {
        if index == self.index {
            self.leaf = Some(leaf);
        } else if let Some(part) = self.part(index) {
            part.tree.push(leaf);
        }
    }

    fn part(&mut self, index: u64) -> Option<&mut Part> {
        self.parts
            .iter_mut()
            .find(|part| (part.from..part.to).contains(&index))
    }

    /// The hashes of the proof, and the root to which they lead; `None` before all leaves have
    /// passed.
    pub(super) fn finish(self) -> Option<(Vec<Hash>, Hash)> {
        let mut root = self.leaf?;
        let mut hashes = Vec::with_capacity(self.parts.len());
        for part in self.parts {
            if part.tree.size() != part.to - part.from {
                return None;
            }
            let other = part.tree.root();
            root = if part.from > self.index {
                node(&root, &other)
            } else {
                node(&other, &root)
            };
            hashes.push(other);
        }
        Some((hashes, root))
    }
}

/// The largest power of two below `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (u64::BITS - 1 - (size - 1).leading_zeros())
}

/// The complete subtrees of the edge, from left to right.
fn heights(tree: &Tree) -> impl Iterator<Item = (u32, Hash)> {
    let set = (0..u64::BITS).rev().filter(|bit| tree.size >> bit & 1 == 1);
    set.zip(tree.edge.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hex;

    /// The definition of RFC 6962, word for word.
    fn by_definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => hash(&[]),
            [one] => *one,
            _ => {
                let at = leaves.len().next_power_of_two() / 2;
                node(&by_definition(&leaves[..at]), &by_definition(&leaves[at..]))
            }
        }
    }

    /// Likewise the check of a proof (RFC 9162, 2.1.3.2).
    fn leads_to(leaf: Hash, index: u64, size: u64, proof: &[Hash]) -> Option<Hash> {
        let (mut at, mut last, mut root) = (index, size.checked_sub(1)?, leaf);
        for other in proof {
            if last == 0 {
                return None;
            }
            if at & 1 == 1 || at == last {
                root = node(other, &root);
                while at & 1 == 0 && at != 0 {
                    at >>= 1;
                    last >>= 1;
                }
            } else {
                root = node(&root, other);
            }
            at >>= 1;
            last >>= 1;
        }
        (last == 0).then_some(root)
    }

    fn leaves(n: u64) -> Vec<Hash> {
        (0..n).map(|i| leaf(&i.to_be_bytes())).collect()
    }

    fn tree(leaves: &[Hash]) -> Tree {
        let mut tree = Tree::default();
        for leaf in leaves {
            tree.push(*leaf);
        }
        tree
    }

    #[test]
    fn roots_are_those_of_the_standard() {
        // From the test data of Certificate Transparency.
        let known = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        ];
        let records: [&[u8]; 2] = [b"", b"\x00"];
        for (n, root) in known.iter().enumerate() {
            let leaves: Vec<Hash> = records[..n].iter().map(|r| leaf(r)).collect();
            assert_eq!(hex::encode(&tree(&leaves).root()), *root);
        }
        let all = leaves(130);
        for n in 0..=all.len() {
            assert_eq!(tree(&all[..n]).root(), by_definition(&all[..n]), "{n}");
        }
    }

    #[test]
    fn an_edge_is_enough_to_go_on() {
        let all = leaves(40);
        for n in 0..all.len() {
            let begun = tree(&all[..n]);
            let mut again = Tree::with_edge(begun.size(), begun.edge().to_vec()).expect("they fit");
            for leaf in &all[n..] {
                again.push(*leaf);
            }
            assert_eq!(again, tree(&all));
            assert_eq!(Tree::with_edge(n as u64 + 1, vec![]), None);
        }
    }

    #[test]
    fn every_leaf_of_every_tree_has_its_proof() {
        let all = leaves(35);
        for size in 1..all.len() as u64 {
            let of_size = &all[..usize::try_from(size).expect("small")];
            for index in 0..size {
                // Whatever beginning is known by its edge alone.
                for known in [0, index / 2, index] {
                    let mut proof = Proof::new(index, size).expect("there is one");
                    let begun = usize::try_from(known).expect("small");
                    assert!(proof.begin(&tree(&all[..begun])));
                    for i in known..size {
                        proof.push(i, all[usize::try_from(i).expect("small")]);
                    }
                    let (hashes, root) = proof.finish().expect("complete");
                    assert_eq!(root, tree(of_size).root());
                    let leaf = all[usize::try_from(index).expect("small")];
                    assert_eq!(leads_to(leaf, index, size, &hashes), Some(root));
                }
            }
            assert!(Proof::new(size, size).is_none());
        }
    }
}
