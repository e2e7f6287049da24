//! A TCP forwarder in front of a store: open, shut, or slow.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Open,
    /// Connections are closed at once.
    Shut,
    /// Each answer is delayed by this.
    Slow(Duration),
}

pub struct Valve {
    pub url: String,
    state: watch::Sender<State>,
    listener: JoinHandle<()>,
}

impl Valve {
    /// A valve in front of a server at `http://host:port`.
    pub async fn before(url: &str) -> Self {
        let to = url
            .trim_start_matches("http://")
            .trim_end_matches('/')
            .to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (state, watched) = watch::channel(State::Open);
        let connections: Arc<Mutex<Vec<JoinHandle<()>>>> = Arc::default();
        let listener = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (to, watched) = (to.clone(), watched.clone());
                let task = tokio::spawn(async move {
                    let _ = forward(&to, client, watched).await;
                });
                connections.lock().expect("not poisoned").push(task);
            }
        });
        Self {
            url: format!("http://127.0.0.1:{port}"),
            state,
            listener,
        }
    }

    pub fn set(&self, state: State) {
        self.state.send_replace(state);
    }
}

impl Drop for Valve {
    fn drop(&mut self) {
        self.state.send_replace(State::Shut);
        self.listener.abort();
    }
}

async fn forward(
    to: &str,
    mut client: TcpStream,
    mut state: watch::Receiver<State>,
) -> std::io::Result<()> {
    if *state.borrow() == State::Shut {
        return Ok(());
    }
    let mut server = TcpStream::connect(to).await?;
    // What was asked has not been answered yet: an answer comes in several pieces.
    let mut owed = false;
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            n = client.read(&mut asked) => match n? {
                0 => return Ok(()),
                n => {
                    server.write_all(&asked[..n]).await?;
                    owed = true;
                }
            },
            n = server.read(&mut answered) => match n? {
                0 => return Ok(()),
                n => {
                    let now = *state.borrow();
                    if let State::Slow(delay) = now
                        && std::mem::take(&mut owed)
                    {
                        tokio::time::sleep(delay).await;
                    }
                    client.write_all(&answered[..n]).await?;
                }
            },
            changed = state.changed() => {
                if changed.is_err() || *state.borrow() == State::Shut {
                    return Ok(());
                }
            }
        }
    }
}
