//! Relays that do nothing but move bytes, each on another foundation: what a
//! design of the data path could win at most. `make designs` measures them.
//!
//!     relay tokio|own|tokio-uring|monoio|monoio-lean THREADS PORT UPSTREAM-PORT

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::rc::Rc;

use monoio::net::TcpStream as MonoStream;
use socket2::{Domain, Socket, Type};

/// As much as pgvalet reads at once of an everyday message.
const BUFFER: usize = 16 * 1024;

#[derive(Clone, Copy)]
struct Way {
    listen: SocketAddr,
    upstream: SocketAddr,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [design, threads, listen, upstream] = &arguments[..] else {
        panic!("relay DESIGN THREADS PORT UPSTREAM-PORT");
    };
    let port = |text: &str| SocketAddr::from((Ipv4Addr::LOCALHOST, text.parse().expect("a port")));
    let way = Way {
        listen: port(listen),
        upstream: port(upstream),
    };
    let threads: usize = threads.parse().expect("a number of threads");
    let each = match design.as_str() {
        "tokio" => return work_stealing(threads, way).expect("a relay"),
        "own" => own_runtime,
        "tokio-uring" => tokio_uring_relay,
        "monoio" => monoio_relay,
        "monoio-lean" => monoio_lean_relay,
        other => panic!("no design {other}"),
    };
    let threads: Vec<_> = (0..threads)
        .map(|_| std::thread::spawn(move || each(way).expect("a relay")))
        .collect();
    for thread in threads {
        thread.join().expect("no thread ends");
    }
}

/// Each thread has a listener of its own, and the kernel deals out connections.
fn listener(way: Way) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&way.listen.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

// ---- epoll: tokio -------------------------------------------------------

/// One runtime whose threads take work from each other.
fn work_stealing(threads: usize, way: Way) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_io()
        .build()?;
    runtime.block_on(async {
        tokio::spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener(way)?)?;
            loop {
                let (client, _) = listener.accept().await?;
                tokio::spawn(tokio_relay(client, way));
            }
        })
        .await?
    })
}

/// A runtime for each thread, which share nothing.
fn own_runtime(way: Way) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener(way)?)?;
        loop {
            let (client, _) = listener.accept().await?;
            tokio::spawn(tokio_relay(client, way));
        }
    })
}

async fn tokio_relay(client: tokio::net::TcpStream, way: Way) -> io::Result<()> {
    let server = tokio::net::TcpStream::connect(way.upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    // One buffer for both directions: it is empty whenever one waits.
    let mut buffer = vec![0; BUFFER];
    loop {
        let (from, to) = tokio::select! {
            ready = client.readable() => ready.map(|()| (&client, &server))?,
            ready = server.readable() => ready.map(|()| (&server, &client))?,
        };
        let n = match from.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
            Err(e) => return Err(e),
        };
        let mut rest = &buffer[..n];
        while !rest.is_empty() {
            match to.try_write(rest) {
                Ok(n) => rest = &rest[n..],
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => to.writable().await?,
                Err(e) => return Err(e),
            }
        }
    }
}

// ---- io_uring -----------------------------------------------------------

fn tokio_uring_relay(way: Way) -> io::Result<()> {
    use tokio_uring::net::{TcpListener, TcpStream};

    async fn half(from: Rc<TcpStream>, to: Rc<TcpStream>) -> io::Result<()> {
        use tokio_uring::buf::BoundedBuf;

        let mut buffer = vec![0; BUFFER];
        loop {
            let (read, filled) = from.read(buffer).await;
            let n = match read? {
                0 => return to.shutdown(std::net::Shutdown::Write),
                n => n,
            };
            let (written, slice) = to.write_all(filled.slice(..n)).await;
            written?;
            buffer = slice.into_inner();
        }
    }

    tokio_uring::start(async {
        let listener = TcpListener::from_std(listener(way)?);
        loop {
            let (client, _) = listener.accept().await?;
            tokio_uring::spawn(async move {
                let server = TcpStream::connect(way.upstream).await?;
                client.set_nodelay(true)?;
                server.set_nodelay(true)?;
                let (client, server) = (Rc::new(client), Rc::new(server));
                tokio_uring::spawn(half(client.clone(), server.clone()));
                half(server, client).await
            });
        }
    })
}

fn monoio_relay(way: Way) -> io::Result<()> {
    use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt, Splitable};

    async fn half(mut from: impl AsyncReadRent, mut to: impl AsyncWriteRent) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(BUFFER);
        loop {
            let (read, filled) = from.read(buffer).await;
            if read? == 0 {
                return to.shutdown().await;
            }
            let (written, mut sent) = to.write_all(filled).await;
            written?;
            sent.clear();
            buffer = sent;
        }
    }

    monoio_serve(way, |client: MonoStream, server: MonoStream| async move {
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        monoio::spawn(half(from_client, to_server));
        half(from_server, to_client).await
    })
}

/// A read that the kernel completes needs its buffer from the beginning, also
/// while the client idles. To have none, one has to ask for readiness first: an
/// operation more. One direction at a time, as the protocol goes.
fn monoio_lean_relay(way: Way) -> io::Result<()> {
    use monoio::io::{AsyncReadRent, AsyncWriteRentExt};

    let free = Rc::new(RefCell::new(Vec::new()));
    monoio_serve(
        way,
        move |mut client: MonoStream, mut server: MonoStream| {
            let free = free.clone();
            async move {
                loop {
                    client.readable(true).await?;
                    let buffer = free.borrow_mut().pop();
                    let mut buffer = buffer.unwrap_or_else(|| Vec::with_capacity(BUFFER));
                    let (read, filled) = client.read(buffer).await;
                    if read? == 0 {
                        return Ok(());
                    }
                    let (written, sent) = server.write_all(filled).await;
                    written?;
                    buffer = sent;
                    loop {
                        buffer.clear();
                        let (read, filled) = server.read(buffer).await;
                        if read? == 0 {
                            return Ok(());
                        }
                        let ready = filled.ends_with(b"Z\0\0\0\x05I");
                        let (written, sent) = client.write_all(filled).await;
                        written?;
                        buffer = sent;
                        if ready {
                            break;
                        }
                    }
                    buffer.clear();
                    free.borrow_mut().push(buffer);
                }
            }
        },
    )
}

fn monoio_serve<F>(
    way: Way,
    relay: impl Fn(MonoStream, MonoStream) -> F + 'static,
) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + 'static,
{
    let relay = Rc::new(relay);
    let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().build()?;
    runtime.block_on(async {
        let listener = monoio::net::TcpListener::from_std(listener(way)?)?;
        loop {
            let (client, _) = listener.accept().await?;
            let relay = relay.clone();
            monoio::spawn(async move {
                let server = MonoStream::connect(way.upstream).await?;
                client.set_nodelay(true)?;
                server.set_nodelay(true)?;
                relay(client, server).await
            });
        }
    })
}
