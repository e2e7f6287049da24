//! Envelope encryption: every value has a data key of its own, and the master key
//! wraps data keys. Both layers authenticate the secret's ARN and the VersionId,
//! so that a ciphertext opens only in the row for which it was sealed.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

use super::key::Key;

/// Distinguishes the two layers in the associated data.
#[derive(Clone, Copy)]
enum Layer {
    DataKey,
    Value,
}

/// One sealed value as two columns, each of which is `nonce ‖ ciphertext ‖ tag`.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    pub data_key: Vec<u8>,
    pub value: Vec<u8>,
}

/// Opening failed because of a wrong key or altered bytes, or sealing because the
/// system gave no random bytes. AEAD tells no more, on purpose.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused;

/// The associated data. Length prefixes keep it unambiguous: no two pairs of ARN
/// and version have the same bytes.
fn context(layer: Layer, arn: &str, version: &str) -> Vec<u8> {
    let tag: &[u8] = match layer {
        Layer::DataKey => b"pgvalet vault 1 data key\0",
        Layer::Value => b"pgvalet vault 1 value\0",
    };
    let mut bytes = tag.to_vec();
    for text in [arn, version] {
        bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

fn seal_layer(key: &Key, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, Refused> {
    let cipher = RandomizedNonceKey::new(&AES_256_GCM, key.bytes()).map_err(|_| Refused)?;
    // Sealed in place, so that the buffer of the plain text becomes ciphertext.
    let mut buffer = Vec::with_capacity(plain.len() + AES_256_GCM.tag_len());
    buffer.extend_from_slice(plain);
    let nonce = cipher
        .seal_in_place_append_tag(Aad::from(context), &mut buffer)
        .map_err(|_| Refused)?;
    let mut sealed = Vec::with_capacity(NONCE_LEN + buffer.len());
    sealed.extend_from_slice(nonce.as_ref());
    sealed.extend_from_slice(&buffer);
    Ok(sealed)
}

fn open_layer(key: &Key, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Refused> {
    let cipher = RandomizedNonceKey::new(&AES_256_GCM, key.bytes()).map_err(|_| Refused)?;
    let (nonce, body) = sealed.split_at_checked(NONCE_LEN).ok_or(Refused)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Refused)?;
    let mut buffer = Zeroizing::new(body.to_vec());
    let length = cipher
        .open_in_place(nonce, Aad::from(context), &mut buffer)
        .map_err(|_| Refused)?
        .len();
    buffer.truncate(length);
    Ok(buffer)
}

/// Seals a value for the version of a secret, under a new data key.
pub fn seal(master: &Key, arn: &str, version: &str, plain: &[u8]) -> Result<Sealed, Refused> {
    let data_key = Key::generate().ok_or(Refused)?;
    Ok(Sealed {
        data_key: seal_layer(
            master,
            &context(Layer::DataKey, arn, version),
            data_key.bytes(),
        )?,
        value: seal_layer(&data_key, &context(Layer::Value, arn, version), plain)?,
    })
}

/// Opens a value that was sealed for this version of this secret.
pub fn open(
    master: &Key,
    arn: &str,
    version: &str,
    sealed: &Sealed,
) -> Result<Zeroizing<Vec<u8>>, Refused> {
    let data_key = open_layer(
        master,
        &context(Layer::DataKey, arn, version),
        &sealed.data_key,
    )?;
    let data_key = Key::from_bytes(&data_key).ok_or(Refused)?;
    open_layer(
        &data_key,
        &context(Layer::Value, arn, version),
        &sealed.value,
    )
}

/// Wraps a data key under another master key. The value stays as it is.
pub fn rewrap(
    old: &Key,
    new: &Key,
    arn: &str,
    version: &str,
    data_key: &[u8],
) -> Result<Vec<u8>, Refused> {
    let context = context(Layer::DataKey, arn, version);
    seal_layer(new, &context, &open_layer(old, &context, data_key)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_opens_only_where_it_was_sealed() {
        let master = Key::generate().unwrap();
        let sealed = seal(&master, "arn:a", "v1", b"hunter2").unwrap();
        assert_eq!(
            &open(&master, "arn:a", "v1", &sealed).unwrap()[..],
            b"hunter2"
        );
        assert!(open(&master, "arn:a", "v2", &sealed).is_err());
        assert!(open(&master, "arn:b", "v1", &sealed).is_err());
        // The same text, cut elsewhere.
        assert!(open(&master, "arn:av", "1", &sealed).is_err());
        assert!(open(&Key::generate().unwrap(), "arn:a", "v1", &sealed).is_err());
    }

    #[test]
    fn parts_of_two_seals_do_not_mix() {
        let master = Key::generate().unwrap();
        let one = seal(&master, "arn:a", "v1", b"one").unwrap();
        let two = seal(&master, "arn:a", "v1", b"two").unwrap();
        assert!(one.data_key != two.data_key);
        let mixed = Sealed {
            data_key: one.data_key,
            value: two.value,
        };
        assert!(open(&master, "arn:a", "v1", &mixed).is_err());
    }

    #[test]
    fn the_layers_are_not_interchangeable() {
        let master = Key::generate().unwrap();
        let sealed = seal_layer(
            &master,
            &context(Layer::Value, "arn:a", "v1"),
            master.bytes(),
        )
        .unwrap();
        assert!(open_layer(&master, &context(Layer::DataKey, "arn:a", "v1"), &sealed).is_err());
    }

    #[test]
    fn a_rewrapped_value_opens_with_the_new_key_only() {
        let (old, new) = (Key::generate().unwrap(), Key::generate().unwrap());
        let mut sealed = seal(&old, "arn:a", "v1", b"hunter2").unwrap();
        assert!(rewrap(&old, &new, "arn:a", "v2", &sealed.data_key).is_err());
        assert!(rewrap(&new, &old, "arn:a", "v1", &sealed.data_key).is_err());
        sealed.data_key = rewrap(&old, &new, "arn:a", "v1", &sealed.data_key).unwrap();
        assert_eq!(&open(&new, "arn:a", "v1", &sealed).unwrap()[..], b"hunter2");
        assert!(open(&old, "arn:a", "v1", &sealed).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn every_altered_byte_is_noticed(plain in proptest::collection::vec(any::<u8>(), 0..40)) {
            let master = Key::generate().unwrap();
            let sealed = seal(&master, "arn:a", "v1", &plain).unwrap();
            for index in 0..sealed.data_key.len() {
                let mut altered = sealed.clone();
                altered.data_key[index] ^= 1;
                prop_assert!(open(&master, "arn:a", "v1", &altered).is_err());
            }
            for index in 0..sealed.value.len() {
                let mut altered = sealed.clone();
                altered.value[index] ^= 0x80;
                prop_assert!(open(&master, "arn:a", "v1", &altered).is_err());
            }
            for length in 0..sealed.value.len() {
                let mut cut = sealed.clone();
                cut.value.truncate(length);
                prop_assert!(open(&master, "arn:a", "v1", &cut).is_err());
            }
            prop_assert_eq!(&open(&master, "arn:a", "v1", &sealed).unwrap()[..], &plain[..]);
        }
    }
}
