//! A proxy between a client and a server that speaks HTTP, which gets in the way on purpose.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Limit: what of an answer is passed on before it is cut.
const CUT_BYTES: usize = 150;
/// Limit: waiting for a gate, and for either side to say something.
const WAIT: Duration = Duration::from_secs(60);

/// What happens to a request.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// Nothing.
    Pass,
    /// The connection is closed before the request is read.
    Refuse,
    /// It is closed in the middle of the request; the server does not get it.
    CutRequest,
    /// The server does what it was asked for; half of its answer comes through.
    CutAnswer,
    /// The server does what it was asked for; nothing of its answer comes through.
    LoseAnswer,
    /// The client is told this, the server nothing: status and code.
    Answer(u16, &'static str),
}

/// One request on its way.
#[derive(Debug)]
pub(crate) struct Request {
    /// Counted from zero, since the last [`Proxy::set`].
    pub(crate) number: u64,
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
}

type Decide = dyn Fn(&Request) -> Trouble + Send + Sync;

struct Shared {
    server: u16,
    decide: Mutex<Arc<Decide>>,
    count: AtomicU64,
    troubled: AtomicU64,
}

/// A running proxy. Its threads end with the process.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Starts one before the server at `port` of this host.
    pub(crate) fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let shared = Arc::new(Shared {
            server: port,
            decide: Mutex::new(Arc::new(|_: &Request| Trouble::Pass)),
            count: AtomicU64::new(0),
            troubled: AtomicU64::new(0),
        });
        let proxy = Self { port: listener.local_addr().unwrap().port(), shared: shared.clone() };
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = shared.clone();
                // Either side may go away in the middle: that is what this is for.
                std::thread::spawn(move || drop(shared.serve(&client)));
            }
        });
        proxy
    }

    /// From the next request on, `decide` says what happens to each.
    pub(crate) fn set(&self, decide: impl Fn(&Request) -> Trouble + Send + Sync + 'static) {
        let mut current = self.shared.decide.lock().unwrap();
        *current = Arc::new(decide);
        self.shared.count.store(0, Ordering::SeqCst);
        self.shared.troubled.store(0, Ordering::SeqCst);
    }

    /// From now on nothing gets in the way.
    pub(crate) fn heal(&self) {
        self.set(|_| Trouble::Pass);
    }

    /// How many requests came since the last [`Proxy::set`], and how many had trouble.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.shared.count.load(Ordering::SeqCst), self.shared.troubled.load(Ordering::SeqCst))
    }

    /// The location of a bucket or of a prefix in it, through this.
    pub(crate) fn location(&self, bucket_and_prefix: &str) -> String {
        format!("s3:http://127.0.0.1:{}/{bucket_and_prefix}", self.port)
    }
}

impl Shared {
    /// Passes on one request; its answer ends with the connection.
    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        client.set_read_timeout(Some(WAIT))?;
        let mut reader = BufReader::new(client);
        let head = read_head(&mut reader)?;
        let (decide, number) = {
            let decide = self.decide.lock().unwrap();
            (decide.clone(), self.count.fetch_add(1, Ordering::SeqCst))
        };
        let mut words = head.first().map_or("", String::as_str).split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let trouble = decide(&Request { number, method, target });
        if !matches!(trouble, Trouble::Pass) {
            self.troubled.fetch_add(1, Ordering::SeqCst);
        }
        if let Trouble::Refuse = trouble {
            return client.shutdown(Shutdown::Both);
        }
        let mut body = vec![0; body_length(&head)];
        if let Trouble::CutRequest = trouble {
            let half = body.len() / 2;
            reader.read_exact(&mut body[..half])?;
            return client.shutdown(Shutdown::Both);
        }
        reader.read_exact(&mut body)?;
        let answer = match trouble {
            Trouble::Answer(status, code) => {
                let text = format!("<Error><Code>{code}</Code><Message>as the test says</Message></Error>");
                let length = text.len();
                let head = format!("HTTP/1.1 {status} Trouble\r\nContent-Length: {length}\r\n");
                format!("{head}Content-Type: application/xml\r\nConnection: close\r\n\r\n{text}").into_bytes()
            }
            _ => self.ask(&head, &body)?,
        };
        let part = match trouble {
            Trouble::LoseAnswer => 0,
            Trouble::CutAnswer => CUT_BYTES.min(answer.len() / 2),
            _ => answer.len(),
        };
        let mut writer = client;
        writer.write_all(&answer[..part])?;
        client.shutdown(Shutdown::Both)
    }

    /// Sends a request to the server and returns its whole answer.
    fn ask(&self, head: &[String], body: &[u8]) -> io::Result<Vec<u8>> {
        let mut server = TcpStream::connect(("127.0.0.1", self.server))?;
        server.set_read_timeout(Some(WAIT))?;
        let kept = head.iter().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
        let mut text: String = kept.map(|line| format!("{line}\r\n")).collect();
        text.push_str("Connection: close\r\n\r\n");
        server.write_all(text.as_bytes())?;
        // A server that refuses from the head alone answers without having read the rest.
        let _ = server.write_all(body);
        let mut answer = Vec::new();
        match server.read_to_end(&mut answer) {
            // Such a one resets the connection after its answer.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset && !answer.is_empty() => {}
            read => drop(read?),
        }
        Ok(answer)
    }
}

fn read_head(reader: &mut impl BufRead) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end() {
            "" => return Ok(lines),
            text => lines.push(text.to_owned()),
        }
    }
}

fn body_length(head: &[String]) -> usize {
    let is_length = |line: &&String| line.to_ascii_lowercase().starts_with("content-length:");
    let line = head.iter().find(is_length);
    line.and_then(|line| line.split_once(':')?.1.trim().parse().ok()).unwrap_or(0)
}

/// Holds one request up until the test has done something meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// Whether the request came, and whether it may go on.
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Gate {
    /// Called by the proxy: waits until [`Gate::open`].
    pub(crate) fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 = true;
        self.changed.notify_all();
        let open = self.changed.wait_timeout_while(state, WAIT, |state| !state.1).unwrap();
        assert!(!open.1.timed_out(), "nobody opened the gate");
    }

    /// Waits until the request came, or until `is_over` says that it never will; returns whether it came.
    pub(crate) fn reached(&self, mut is_over: impl FnMut() -> bool) -> bool {
        let begin = Instant::now();
        let mut state = self.state.lock().unwrap();
        while !state.0 && !is_over() {
            assert!(begin.elapsed() < WAIT, "the request never came");
            state = self.changed.wait_timeout(state, Duration::from_millis(5)).unwrap().0;
        }
        state.0
    }

    /// Lets the request go on, and all later ones.
    pub(crate) fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}
