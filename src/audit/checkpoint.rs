//! Checkpoints: what the log signs of its tree (C2SP tlog-checkpoint).
//!
//! Each checkpoint is told twice: as a record of the log, so that a changed record is found
//! between two of them, and as a note in a file of its own, which is what others keep.

use serde::{Deserialize, Serialize};

use super::note::{PublicKey, Signer};
use super::tree::{self, Hash, Tree};

/// The size of a tree, and its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) size: u64,
    pub(super) root: Hash,
}

impl From<&Tree> for Checkpoint {
    fn from(tree: &Tree) -> Self {
        Self {
            size: tree.size(),
            root: tree.root(),
        }
    }
}

impl Checkpoint {
    /// What is signed. `origin` is the name of the log, and of its key.
    fn text(&self, origin: &str) -> String {
        format!("{origin}\n{}\n{}\n", self.size, tree::encode(&self.root))
    }

    pub(super) fn note(&self, signer: &Signer) -> String {
        signer.note(&self.text(&signer.public().name))
    }

    /// Reads a note; `None` if the key has not signed it, or it is no checkpoint.
    pub(super) fn open(note: &str, key: &PublicKey) -> Option<Self> {
        let mut lines = key.open(note)?.lines();
        if lines.next()? != key.name {
            return None;
        }
        let size = lines.next()?.parse().ok()?;
        let root = tree::decode(lines.next()?)?;
        Some(Self { size, root })
    }
}

/// What a `checkpoint` record says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeRef {
    /// How many records the tree has: all before this one.
    pub size: u64,
    /// Its root, in base64.
    pub root: String,
    /// The signature of the checkpoint, as a note has it.
    pub signature: String,
    /// The size of the newest checkpoint that is in a file of its own, beside the log.
    pub noted: u64,
    /// What the tree is continued from; in the first record of each file.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub edge: Vec<String>,
    /// The public key; in the first record of each file.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
    /// The log was closed, as it should be. The next record was written by another process.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub closed: bool,
}

impl TreeRef {
    pub(super) fn new(tree: &Tree, signer: &Signer, noted: u64) -> Self {
        let checkpoint = Checkpoint::from(tree);
        Self {
            size: checkpoint.size,
            root: tree::encode(&checkpoint.root),
            signature: signer.sign(&checkpoint.text(&signer.public().name)),
            noted,
            ..Self::default()
        }
    }

    /// The same in the first record of a file.
    pub(super) fn heading(mut self, tree: &Tree, key: &PublicKey) -> Self {
        self.edge = tree.edge().iter().map(tree::encode).collect();
        self.key = Some(key.to_string());
        self
    }

    /// The tree to be continued, where the record has all of it.
    pub(super) fn tree(&self) -> Option<Tree> {
        let edge = self.edge.iter().map(|hash| tree::decode(hash));
        let tree = Tree::with_edge(self.size, edge.collect::<Option<_>>()?)?;
        (tree::decode(&self.root) == Some(tree.root())).then_some(tree)
    }

    /// Whether the record is about this tree.
    pub(super) fn is_of(&self, tree: &Tree) -> bool {
        self.size == tree.size() && tree::decode(&self.root) == Some(tree.root())
    }

    pub(super) fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.checkpoint(key).is_some()
    }

    /// What it signs; `None` if the key has not signed it.
    pub(super) fn checkpoint(&self, key: &PublicKey) -> Option<Checkpoint> {
        let (size, root) = (self.size, tree::decode(&self.root)?);
        let checkpoint = Checkpoint { size, root };
        let signed = key.has_signed(&checkpoint.text(&key.name), &self.signature);
        signed.then_some(checkpoint)
    }
}
