//! What a replica asks another one.

use crate::wire::login::{MAX_KEY, MIN_KEY};

/// The first byte of a request says what it asks.
const CANCEL: u8 = 1;
const WHO: u8 = 2;
/// The longest request.
pub(super) const LONGEST: usize = 1 + 4 + MAX_KEY;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelRequest {
    pub pid: u32,
    pub key: Vec<u8>,
}

/// The number of a process, which no other one has.
pub(super) type Instance = [u8; 16];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    /// To execute a cancel request; whether it has landed.
    Cancel(CancelRequest),
    /// Whether this is the process with that number.
    Who(Instance),
}

impl Request {
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Cancel(request) => {
                [&[CANCEL][..], &request.pid.to_be_bytes(), &request.key].concat()
            }
            Self::Who(instance) => [&[WHO][..], instance].concat(),
        }
    }

    /// `None`: of another version of pgvalet.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (&kind, rest) = bytes.split_first()?;
        match kind {
            CANCEL => {
                let (pid, key) = rest.split_first_chunk::<4>()?;
                (MIN_KEY..=MAX_KEY).contains(&key.len()).then(|| {
                    Self::Cancel(CancelRequest {
                        pid: u32::from_be_bytes(*pid),
                        key: key.to_vec(),
                    })
                })
            }
            WHO => rest.try_into().ok().map(Self::Who),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_request_is_read_as_written(
            pid in any::<u32>(),
            key in proptest::collection::vec(any::<u8>(), 0..300),
            instance in any::<Instance>(),
        ) {
            let fits = (MIN_KEY..=MAX_KEY).contains(&key.len());
            let request = Request::Cancel(CancelRequest { pid, key });
            prop_assert_eq!(Request::read(&request.to_bytes()), fits.then_some(request));
            let request = Request::Who(instance);
            prop_assert_eq!(Request::read(&request.to_bytes()), Some(request));
        }
    }
}
