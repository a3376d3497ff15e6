//! A server that repeats whatever it is told, where a careless program would show it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Answers every request with its own head, in the code and the message of an S3 error.
pub(super) struct Echo {
    /// Where it listens.
    pub(super) address: String,
    requests: Arc<AtomicUsize>,
}

impl Echo {
    /// Starts it; its thread ends with the process.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::Relaxed);
                // Whoever asked may be gone.
                let _ = answer(stream);
            }
        });
        Self { address, requests }
    }

    /// How many requests came.
    pub(super) fn count(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut head = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while reader.read_line(&mut head)? > 2 {}
    let body = match head.contains("x-amz-security-token") {
        // The token alone, so that it is within what is kept of a message.
        true => head.lines().filter(|line| line.starts_with("x-amz-security-token")).collect::<String>(),
        false => head.replace(['\r', '\n'], " "),
    };
    let body = format!("<Error><Code>InvalidToken</Code><Message>wrong: {body}</Message></Error>");
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
