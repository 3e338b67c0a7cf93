//! An upstream that keeps every byte that it is sent.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use super::{PATIENCE, eventually};

/// One request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorded {
    /// Which connection it came on, from 0.
    pub(crate) connection: usize,
    /// How many came before it on that connection.
    pub(crate) place: usize,
    /// Request line and fields, as on the wire, with the empty line.
    pub(crate) head: Vec<u8>,
    /// The body without its framing.
    pub(crate) body: Vec<u8>,
    /// Fields behind a chunked body.
    pub(crate) trailers: Vec<u8>,
}

impl Recorded {
    /// The request line.
    pub(crate) fn line(&self) -> String {
        let end = self.head.iter().position(|byte| *byte == b'\r').unwrap();
        String::from_utf8(self.head[..end].to_vec()).unwrap()
    }

    /// The target of the request line.
    pub(crate) fn target(&self) -> String {
        self.line().split(' ').nth(1).unwrap().to_owned()
    }

    /// All fields: names in lower case, values as bytes.
    pub(crate) fn fields(&self) -> Vec<(String, Vec<u8>)> {
        let lines = self.head.split(|byte| *byte == b'\n').skip(1).map(|line| line.trim_ascii());
        let parse = |line: &[u8]| {
            let colon = line.iter().position(|byte| *byte == b':').unwrap();
            (String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase(), line[colon + 1..].trim_ascii().to_vec())
        };
        lines.filter(|line| !line.is_empty()).map(parse).collect()
    }

    /// All values of a field, joined by ` | `; empty where there is none.
    pub(crate) fn field(&self, name: &str) -> String {
        let fields = self.fields();
        let values = fields.iter().filter(|(field, _)| field == name);
        values.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect::<Vec<_>>().join(" | ")
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields().iter().any(|(field, _)| field == name)
    }
}

type Answering = dyn Fn(&Recorded, &mut TcpStream) -> bool + Send + Sync;

/// The upstream. Its threads end with the process.
pub(crate) struct Upstream {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Recorded>>>,
}

/// Answers 200, and keeps the connection.
pub(crate) fn ok(request: &Recorded, stream: &mut TcpStream) -> bool {
    let body = r#"{"ok":true}"#;
    let sent = if request.line().starts_with("HEAD ") { "" } else { body };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{sent}").as_bytes()).is_ok()
}

impl Upstream {
    /// Answers 200 to everything.
    pub(crate) fn start() -> Self {
        Self::with(ok)
    }

    /// Answers by this; `false` closes the connection. The request is recorded before.
    pub(crate) fn with(answer: impl Fn(&Recorded, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (records, answer): (_, Arc<Answering>) = (Arc::clone(&seen), Arc::new(answer));
        thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let Ok(stream) = stream else { return };
                let (records, answer) = (Arc::clone(&records), Arc::clone(&answer));
                thread::spawn(move || serve(connection, stream, &records, &*answer));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came since the last time.
    pub(crate) fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// The request that came since the last time, which must be the only one.
    #[track_caller]
    pub(crate) fn one(&self) -> Recorded {
        let mut all = self.take();
        assert_eq!(all.len(), 1, "{:?}", all.iter().map(Recorded::line).collect::<Vec<_>>());
        all.pop().unwrap()
    }

    /// Waits until a request has come.
    pub(crate) fn reached(&self) -> Recorded {
        eventually("a request at the upstream", || self.seen.lock().unwrap().first().cloned())
    }
}

fn serve(connection: usize, stream: TcpStream, records: &Mutex<Vec<Recorded>>, answer: &Answering) {
    let _ = stream.set_nodelay(true);
    let Ok(mut writer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    let mut place = 0;
    while let Some(request) = read_request(&mut reader, &mut writer) {
        let request = Recorded { connection, place, ..request };
        place += 1;
        records.lock().unwrap().push(request.clone());
        if !answer(&request, &mut writer) {
            return;
        }
    }
}

/// Reads one request; `None` where the connection ends before its end.
fn read_request(reader: &mut BufReader<TcpStream>, writer: &mut TcpStream) -> Option<Recorded> {
    let mut request = Recorded::default();
    while !request.head.ends_with(b"\r\n\r\n") {
        (reader.read_until(b'\n', &mut request.head).ok()? > 0).then_some(())?;
    }
    if request.has("expect") {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    // A stalled body must not hold the thread for ever.
    reader.get_ref().set_read_timeout(Some(PATIENCE)).ok()?;
    if request.field("transfer-encoding") == "chunked" {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let size = usize::from_str_radix(line.trim(), 16).ok()?;
            let mut data = vec![0; size];
            reader.read_exact(&mut data).ok()?;
            request.body.append(&mut data);
            if size == 0 {
                break;
            }
            reader.read_line(&mut String::new()).ok()?;
        }
        while !request.trailers.ends_with(b"\r\n")
            || !(request.trailers == b"\r\n" || request.trailers.ends_with(b"\r\n\r\n"))
        {
            (reader.read_until(b'\n', &mut request.trailers).ok()? > 0).then_some(())?;
        }
    } else if let Ok(length) = request.field("content-length").parse() {
        request.body = vec![0; length];
        reader.read_exact(&mut request.body).ok()?;
    }
    reader.get_ref().set_read_timeout(None).ok()?;
    Some(request)
}
