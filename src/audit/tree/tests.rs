//! Roots and proofs are those of the standard.

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
