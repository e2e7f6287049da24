//! Passwords are prepared as Postgres prepares them, and so are numbers of iterations.

use futures_util::StreamExt;
use futures_util::stream::iter;
use pgvalet::secret::Password;
use pgvalet::upstream::{Options, verifier};
use postgres_protocol::escape::escape_literal;

use super::{log_in, options};
use crate::common::client::told;
use crate::common::{Cluster, Proxy, connect, new_password};

/// Ranges of characters that SASLprep treats in different ways.
const KINDS: &[(u32, u32)] = &[
    (0x20, 0x7e),       // ASCII
    (0x61, 0x7a),       // letters, left to right
    (0x30, 0x39),       // digits, neither
    (0x01, 0x1f),       // control characters
    (0x80, 0xff),       // more control characters, and Latin 1
    (0x100, 0x24f),     // Latin, and what is younger than Unicode 3.2
    (0x300, 0x36f),     // combining
    (0x5b0, 0x5f4),     // Hebrew
    (0x600, 0x6ff),     // Arabic
    (0x700, 0x7bf),     // Syriac, Thaana
    (0xc80, 0xcff),     // Kannada
    (0x1100, 0x11ff),   // Jamo, which compose
    (0x1700, 0x18af),   // what has changed its direction since
    (0x2000, 0x206f),   // spaces, and what is mapped to nothing
    (0x2100, 0x218f),   // compatibility characters
    (0x2800, 0x28ff),   // Braille
    (0x2ff0, 0x3030),   // Ideographic descriptions
    (0xac00, 0xd7ff),   // Hangul
    (0xe000, 0xe0ff),   // private use
    (0xf900, 0xfb4f),   // compatibility ideographs, ligatures
    (0xfb50, 0xfdff),   // Arabic presentation forms
    (0xfe00, 0xffff),   // variation selectors, full width, non-characters
    (0x1d160, 0x1d7ff), // music, mathematics
    (0x1f600, 0x1f64f), // emoji
    (0x2f800, 0x2fa1f), // compatibility ideographs
    (0xe0000, 0xe007f), // tags
    (0xad, 0xad),       // the soft hyphen
    (0x80, 0x10ffff),   // anything
];

/// The same passwords every time: a generator after Steele, Lea and Flood (SplitMix64).
struct Generator(u64);

impl Generator {
    fn below(&mut self, n: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((z ^ (z >> 31)) % u64::from(n)).expect("it is below n")
    }

    /// One to eight characters of one to three kinds.
    fn password(&mut self) -> String {
        let many = u32::try_from(KINDS.len()).expect("few");
        let kinds: Vec<_> = (0..=self.below(3))
            .map(|_| KINDS[self.below(many) as usize])
            .collect();
        let length = 1 + self.below(8);
        let mut password = String::new();
        while password.chars().count() < length as usize {
            let few = u32::try_from(kinds.len()).expect("few");
            let (first, last) = kinds[self.below(few) as usize];
            password.extend(char::from_u32(first + self.below(last - first + 1)));
        }
        password
    }
}

/// What went wrong in issues of others, and here once.
const KNOWN: &[&str] = &[
    "\u{ad}",
    "\u{feff}\u{200d}",
    "a\u{340}",
    "\u{fb01}\u{e000}",
    "a\u{a0}\u{1f600}",
    "\u{5d0}\u{a0}1",
    "\u{627}1\u{628}",
    "\u{fb01}\u{7}",
    "I\u{ad}X",
    "\u{2168}",
    " ",
    "\u{3000}",
];

fn passwords(many: usize) -> Vec<String> {
    let mut generator = Generator(19);
    let known = KNOWN.iter().map(|&p| p.to_owned());
    let generated = std::iter::from_fn(|| Some(generator.password()));
    known.chain(generated).take(many).collect()
}

/// Whether one role logs in with the password that it was made with.
async fn logs_in(options: &Options, cluster: &Cluster, number: usize, password: &str) -> bool {
    match log_in(cluster, options, &format!("p{number}"), password).await {
        Ok(server) => {
            server.close().await;
            true
        }
        Err(error) => {
            assert!(error.is_authentication(), "{error}");
            false
        }
    }
}

async fn prove(many: usize) {
    let passwords = passwords(many);
    let mut clusters = Cluster::all();
    while let Some(cluster) = clusters.next().await {
        let superuser = cluster.superuser().await;
        for (batch, some) in passwords.chunks(100).enumerate() {
            let roles = some.iter().enumerate().map(|(i, password)| {
                let password = escape_literal(password);
                format!(
                    "CREATE ROLE p{} LOGIN PASSWORD {password};",
                    batch * 100 + i
                )
            });
            let roles: String = roles.collect();
            superuser.batch_execute(&roles).await.expect("roles");
        }
        let options = &options("");
        let cluster = &cluster;
        let logins = passwords
            .iter()
            .enumerate()
            .map(|(i, password)| async move {
                (password, logs_in(options, cluster, i, password).await)
            });
        let done: Vec<_> = iter(logins).buffer_unordered(4).collect().await;
        let refused: Vec<_> = done.iter().filter(|(_, in_)| !in_).collect();
        let (major, of) = (&cluster.binaries.major, done.len());
        assert!(
            refused.is_empty(),
            "Postgres {major}: {} of {of}: {refused:?}",
            refused.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_what_postgres_takes_it_for() {
    prove(250).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "two thousand passwords; make chaos"]
async fn a_password_is_what_postgres_takes_it_for_at_length() {
    prove(2_000).await;
}

/// A verifier that was made with many iterations costs whoever logs in a moment; how
/// many are too many is said by the configuration.
#[tokio::test(flavor = "multi_thread")]
async fn many_iterations_are_a_matter_of_configuration() {
    let cluster = Cluster::start().await;
    let password = new_password();
    let made = verifier(Password::new(password.clone()), 100_001).await;
    cluster.create_role("app", &made.expect("a verifier")).await;
    let secret = cluster.secret("app", &password);

    let proxy = Proxy::with_one_database(&secret, "pool_wait_timeout = \"3s\"")
        .start_unready()
        .await;
    let refused = connect(&proxy.dsn("app")).await.map(|_| ());
    let (sqlstate, message, _, hint) = told(&refused.expect_err("too many"));
    assert_eq!(sqlstate, "08006");
    assert!(
        message.contains("asks for 100001 SCRAM iterations, and 100000 are allowed"),
        "{message}"
    );
    assert!(hint.expect("a hint").contains("scram_max_iterations"));

    let proxy = Proxy::with_one_database(&secret, "scram_max_iterations = 100001")
        .start()
        .await;
    assert_eq!(proxy.connect("app").await.value("select 1").await, "1");
}
