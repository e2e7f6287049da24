//! The status page and its events.

use std::time::Duration;

use tokio::time::timeout;

use super::*;

/// The text that a stream has brought when `part` is in it.
async fn reads(stream: &mut TcpStream, part: &str) -> String {
    let mut text = Vec::new();
    let read = async {
        loop {
            let mut more = [0; 4096];
            let n = stream.read(&mut more).await.expect("read");
            text.extend_from_slice(&more[..n]);
            if n == 0 || String::from_utf8_lossy(&text).contains(part) {
                return;
            }
        }
    };
    let in_time = timeout(Duration::from_secs(10), read).await.is_ok();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(
        in_time && text.contains(part),
        "{part:?} is missing in:\n{text}"
    );
    text
}

async fn watch(server: &Server, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.expect("connects");
    let request = format!("GET /events HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

#[tokio::test]
async fn anybody_may_have_the_page_because_it_says_nothing() {
    let server = server(Ok(()), token(SECRET).ok()).await;
    for (path, kind) in [
        ("/", "text/html"),
        ("/page/main.js", "text/javascript"),
        ("/page/page.css", "text/css"),
    ] {
        for (host, headers) in [
            ("localhost", ""),
            // A link on another page leads here, and the proxy may have any name.
            ("proxy.example", "Sec-Fetch-Site: cross-site\r\n"),
        ] {
            let answer = server.ask(&format!("GET {path}"), host, headers).await;
            is(&answer, 200, kind);
            is(&answer, 200, "default-src 'none'; script-src 'self';");
            is(&answer, 200, "frame-ancestors 'none'");
        }
    }
    is(&server.get("/page/../status", "").await, 404, "");
    is(&server.ask("POST /", "localhost", "").await, 405, "");
}

#[tokio::test]
async fn who_watches_is_told_what_he_may_do() {
    let right = format!("Authorization: Bearer {SECRET}\r\n");
    let open = server_with(Ok(()), Doorkeeper::new(token(SECRET).ok(), false, None)).await;
    for (headers, may) in [("", false), (right.as_str(), true)] {
        let mut stream = watch(&open, headers).await;
        let text = reads(&mut stream, "event: status\ndata: {").await;
        assert!(text.contains("content-type: text/event-stream"), "{text}");
        let hello = format!("event: hello\ndata: {{\"may_change\":{may}}}\n\n");
        assert!(text.contains(&hello), "{text}");
        assert!(
            text.contains("event: history\ndata: {\"step_seconds\":5"),
            "{text}"
        );
    }
    let closed = server(Ok(()), token(SECRET).ok()).await;
    reads(&mut watch(&closed, "").await, "401 Unauthorized").await;
    reads(&mut watch(&closed, &right).await, "event: hello").await;
    let page = format!("{right}Origin: http://evil.example\r\n");
    reads(&mut watch(&closed, &page).await, "403 Forbidden").await;
}

#[tokio::test]
async fn those_who_watch_are_bounded_and_told_to_leave() {
    let server = server(Ok(()), None).await;
    let mut first = watch(&server, "").await;
    reads(&mut first, "event: status").await;
    let mut others = Vec::new();
    for _ in 0..16 {
        let mut other = watch(&server, "").await;
        reads(&mut other, "event: status").await;
        others.push(other);
    }
    reads(
        &mut first,
        "event: bye\ndata: {\"why\":\"too many pages watch this proxy\"}",
    )
    .await;
    server.closing.send(true).expect("still running");
    for other in &mut others {
        reads(
            other,
            "event: bye\ndata: {\"why\":\"the proxy is stopping\"}",
        )
        .await;
    }
    server.task.await.expect("ended");
}
