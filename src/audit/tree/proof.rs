//! The proof that a leaf is in a tree.

use super::{Hash, Tree, node};

/// The proof that a leaf is in a tree, made while the leaves pass by from left to right.
#[derive(Debug)]
pub(in crate::audit) struct Proof {
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
    pub(in crate::audit) fn new(index: u64, size: u64) -> Option<Self> {
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
    pub(in crate::audit) fn begin(&mut self, tree: &Tree) -> bool {
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

    pub(in crate::audit) fn push(&mut self, index: u64, leaf: Hash) {
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
    pub(in crate::audit) fn finish(self) -> Option<(Vec<Hash>, Hash)> {
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
