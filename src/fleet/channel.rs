//! One request and its answer between two replicas, over a connection of its own.
//!
//! The replica that was connected to begins with a random number; the one that asks answers with
//! another one, and the request. Both numbers and the fleet's key give two keys that no other
//! connection has: one seals the request, the other one the answer. Whoever can seal or open
//! either has the fleet's key, so both sides have proved it. A request that was recorded is worth
//! nothing, because the number that it answers does not come again. So no clocks have to
//! agree, and nobody has to remember what was asked.
//!
//! This is no TLS, because certificates for replicas would be one more thing to hand out and to
//! renew, and the key is there. There is no forward secrecy: who has recorded the bytes and later
//! gets the key can read the cancel keys, which were used up then.

use std::io;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::key::{FleetKey, Purpose};
use super::request::{LONGEST, Request};

/// The random number of either side.
const NUMBER: usize = 32;
const TAG: usize = 16;

/// The keys of one connection. Each seals one message, so its nonce need not vary.
struct Keys {
    requests: LessSafeKey,
    answers: LessSafeKey,
}

impl Keys {
    fn new(fleet: &FleetKey, theirs: &[u8; NUMBER], ours: &[u8; NUMBER]) -> io::Result<Self> {
        let salt = [&theirs[..], &ours[..]].concat();
        let key = |purpose| {
            let key = fleet.derive(purpose, &salt).map_err(io::Error::other)?;
            let key = UnboundKey::new(&AES_256_GCM, &key[..]).map_err(io::Error::other)?;
            Ok::<_, io::Error>(LessSafeKey::new(key))
        };
        Ok(Self {
            requests: key(Purpose::Requests)?,
            answers: key(Purpose::Answers)?,
        })
    }
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

fn seal(key: &LessSafeKey, mut plain: Vec<u8>) -> io::Result<Vec<u8>> {
    key.seal_in_place_append_tag(nonce(), Aad::empty(), &mut plain)
        .map_err(io::Error::other)?;
    Ok(plain)
}

fn open<'a>(key: &LessSafeKey, sealed: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let plain = key.open_in_place(nonce(), Aad::empty(), sealed);
    plain.map(|plain| &*plain).map_err(|_| stranger())
}

/// The other side has another key, or none.
fn stranger() -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        "the other side has not the key of this fleet",
    )
}

fn random() -> io::Result<[u8; NUMBER]> {
    let mut number = [0; NUMBER];
    rand::fill(&mut number).map_err(io::Error::other)?;
    Ok(number)
}

/// A replica that waits for the answer to its request.
pub(super) struct Asked<S> {
    stream: S,
    keys: Keys,
}

/// Sends a request, once the other replica is there to read it.
///
/// # Errors
/// The connection has failed.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    fleet: &FleetKey,
    request: &Request,
) -> io::Result<Asked<S>> {
    let (mut theirs, ours) = ([0; NUMBER], random()?);
    stream.read_exact(&mut theirs).await?;
    let keys = Keys::new(fleet, &theirs, &ours)?;
    let sealed = seal(&keys.requests, request.to_bytes())?;
    let length = u16::try_from(sealed.len()).map_err(io::Error::other)?;
    let message = [&ours[..], &length.to_be_bytes(), &sealed].concat();
    stream.write_all(&message).await?;
    stream.flush().await?;
    Ok(Asked { stream, keys })
}

impl<S: AsyncRead + Unpin> Asked<S> {
    /// Waits for the answer: yes or no.
    ///
    /// # Errors
    /// The connection has failed, or the answer is not one of a replica.
    pub async fn answer(mut self) -> io::Result<bool> {
        let mut answer = [0; 1 + TAG];
        self.stream.read_exact(&mut answer).await?;
        Ok(open(&self.keys.answers, &mut answer)? == [1])
    }
}

/// A replica that was asked, and owes the answer.
pub(super) struct Owed<S> {
    stream: S,
    keys: Keys,
}

/// Reads the request of another replica.
///
/// # Errors
/// The connection has failed, or the other side is no replica.
pub(super) async fn hear<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    fleet: &FleetKey,
) -> io::Result<(Request, Owed<S>)> {
    let (ours, mut theirs) = (random()?, [0; NUMBER]);
    stream.write_all(&ours).await?;
    stream.flush().await?;
    stream.read_exact(&mut theirs).await?;
    let length = usize::from(stream.read_u16().await?);
    if length > LONGEST + TAG {
        return Err(stranger());
    }
    let mut sealed = vec![0; length];
    stream.read_exact(&mut sealed).await?;
    let keys = Keys::new(fleet, &ours, &theirs)?;
    let request = Request::read(open(&keys.requests, &mut sealed)?);
    let request = request.ok_or_else(|| {
        let unknown = "a request that this version of pgvalet does not know";
        io::Error::new(io::ErrorKind::Unsupported, unknown)
    })?;
    Ok((request, Owed { stream, keys }))
}

impl<S: AsyncWrite + Unpin> Owed<S> {
    /// Sends the answer.
    ///
    /// # Errors
    /// The connection has failed.
    pub async fn answer(mut self, yes: bool) -> io::Result<()> {
        let sealed = seal(&self.keys.answers, vec![u8::from(yes)])?;
        self.stream.write_all(&sealed).await?;
        self.stream.shutdown().await
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::duplex;

    use super::super::request::CancelRequest;
    use super::*;

    fn request() -> Request {
        Request::Cancel(CancelRequest {
            pid: 7,
            key: vec![9; 46],
        })
    }

    /// What the one that was asked hears, and what the one that asks gets.
    async fn exchange(
        asks: u8,
        hears: u8,
        landed: bool,
    ) -> (io::Result<Request>, io::Result<bool>) {
        let (a, b) = duplex(1024);
        let hearing = async {
            let (heard, owed) = hear(b, &FleetKey::of(hears)).await?;
            owed.answer(landed).await?;
            Ok(heard)
        };
        let (asks, request) = (FleetKey::of(asks), request());
        let asking = async { ask(a, &asks, &request).await?.answer().await };
        tokio::join!(hearing, asking)
    }

    #[tokio::test]
    async fn who_has_the_key_is_heard_and_answered() {
        for landed in [true, false] {
            let (heard, answer) = exchange(1, 1, landed).await;
            assert_eq!(heard.expect("heard"), request());
            assert_eq!(answer.expect("answered"), landed);
        }
        let (heard, answer) = exchange(1, 2, true).await;
        assert_eq!(
            heard.expect_err("a stranger").kind(),
            io::ErrorKind::PermissionDenied
        );
        assert!(answer.is_err());
    }

    /// The bytes of a request, as sent to a replica that begins with this number.
    async fn recorded(number: [u8; NUMBER]) -> Vec<u8> {
        let (a, mut b) = duplex(1024);
        let (key, request) = (FleetKey::of(1), request());
        let asked = tokio::spawn(async move { ask(a, &key, &request).await.map(|_| ()) });
        b.write_all(&number).await.expect("sent");
        asked.await.expect("no panic").expect("asked");
        let mut bytes = Vec::new();
        b.read_to_end(&mut bytes).await.expect("read");
        bytes
    }

    async fn hears(bytes: &[u8]) -> io::Result<Request> {
        let (mut a, b) = duplex(1024);
        let bytes = bytes.to_vec();
        let send = async {
            let mut theirs = [0; NUMBER];
            a.read_exact(&mut theirs).await.expect("a number");
            a.write_all(&bytes).await.expect("sent");
            a.shutdown().await.expect("shut");
        };
        let key = FleetKey::of(1);
        let (heard, ()) = tokio::join!(hear(b, &key), send);
        heard.map(|(request, _)| request)
    }

    #[tokio::test]
    async fn a_request_is_heard_once() {
        let bytes = recorded([3; NUMBER]).await;
        let refused = hears(&bytes).await.expect_err("a replay");
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        // Another number gives other bytes everywhere.
        let other = recorded([4; NUMBER]).await;
        assert_ne!(bytes[NUMBER + 2..], other[NUMBER + 2..]);
        assert!(!bytes.windows(8).any(|w| w == [9; 8]), "the key is sealed");
    }

    #[tokio::test]
    async fn an_altered_answer_is_none() {
        for bit in 0..(1 + TAG) * 8 {
            let (a, b) = duplex(1024);
            let (mut far, near) = duplex(1024);
            let key = FleetKey::of(1);
            let hearing = async { hear(b, &key).await.expect("heard").1 };
            let asked = async { ask(a, &key, &request()).await.expect("asked") };
            let (owed, asked) = tokio::join!(hearing, asked);
            let mut sealed = seal(&owed.keys.answers, vec![1]).expect("sealed");
            sealed[bit / 8] ^= 1 << (bit % 8);
            far.write_all(&sealed).await.expect("sent");
            let asked = Asked {
                stream: near,
                keys: asked.keys,
            };
            assert!(asked.answer().await.is_err(), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            prop_assert!(runtime.block_on(hears(&bytes)).is_err());
        }
    }
}
