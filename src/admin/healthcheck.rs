//! Asks a running gateway whether it is ready, with nothing but a socket: for container images without a shell.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// Longest start of an answer that is looked at.
const LONGEST_ANSWER: usize = 4096;

/// Is the gateway at that admin address ready? `timeout` is for everything together. An unspecified address is asked on loopback.
pub fn healthcheck(address: SocketAddr, timeout: Duration) -> bool {
    let deadline = Instant::now().checked_add(timeout);
    deadline.and_then(|deadline| status_of(reachable(address), deadline)) == Some(*b"200")
}

/// The status code of `/readyz`.
fn status_of(address: SocketAddr, deadline: Instant) -> Option<[u8; 3]> {
    let left = || deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
    let mut stream = TcpStream::connect_timeout(&address, left()?).ok()?;
    stream.set_write_timeout(Some(left()?)).ok()?;
    // In one write: whoever answers early must not find the rest of the request unread when it closes.
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let mut chunk = [0; 512];
    while answer.len() < LONGEST_ANSWER && !answer.contains(&b'\n') {
        // The time left shrinks with every read: an answer that drips does not hold the probe.
        stream.set_read_timeout(Some(left()?)).ok()?;
        let count = stream.read(&mut chunk).ok()?;
        answer.extend_from_slice(chunk.get(..count).filter(|read| !read.is_empty())?);
    }
    let line = answer.split(|&byte| byte == b'\n').next()?;
    let code = line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 "))?;
    let (code, rest) = code.split_first_chunk::<3>()?;
    matches!(rest, [] | [b' ' | b'\r', ..]).then_some(*code)
}

/// `0.0.0.0` and `[::]` are where one listens, not whom one asks.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// Answers one connection with these chunks, and keeps it open until the asker leaves.
    fn answering(chunks: &'static [&'static str], pause: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            for chunk in chunks {
                if stream.write_all(chunk.as_bytes()).is_err() {
                    return;
                }
                thread::sleep(pause);
            }
            let _ = stream.read(&mut request);
        });
        address
    }

    #[test]
    fn only_a_200_is_ready() {
        for (answer, ready) in [
            (&["HTTP/1.1 200 OK\r\n\r\n"], true),
            (&["HTTP/1.1 200\r\n\r\n"], true),
            (&["HTTP/1.0 200 OK\n\n"], true),
            (&["HTTP/1.1 503 Service Unavailable\r\n\r\n"], false),
            (&["HTTP/1.1 2000 OK\r\n\r\n"], false),
            (&["HTTP/1.1 20\r\n\r\n"], false),
            (&["200 OK\r\n\r\n"], false),
            (&["\r\n"], false),
        ] {
            assert_eq!(healthcheck(answering(answer, Duration::ZERO), Duration::from_secs(10)), ready, "{answer:?}");
        }
    }

    #[test]
    fn an_answer_in_pieces_is_read_whole() {
        let address = answering(&["HT", "TP/1.1 2", "00 OK\r", "\n"], Duration::from_millis(5));
        assert!(healthcheck(address, Duration::from_secs(10)));
    }

    #[test]
    fn nobody_there_is_not_ready() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(!healthcheck(address, Duration::from_secs(10)));
    }

    #[test]
    fn silence_and_dripping_are_not_ready_and_end_in_time() {
        let started = Instant::now();
        let silent = answering(&[], Duration::ZERO);
        assert!(!healthcheck(silent, Duration::from_millis(100)));
        let dripping = answering(&["H"; 200], Duration::from_millis(20));
        assert!(!healthcheck(dripping, Duration::from_millis(200)));
        assert!(!healthcheck(silent, Duration::ZERO), "no time at all is not an endless time");
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    }

    #[test]
    fn an_unspecified_address_is_asked_on_loopback() {
        for (given, asked) in [
            ("0.0.0.0:9901", "127.0.0.1:9901"),
            ("[::]:9901", "[::1]:9901"),
            ("10.1.2.3:9901", "10.1.2.3:9901"),
            ("[fd00::1]:9901", "[fd00::1]:9901"),
        ] {
            assert_eq!(reachable(given.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
