//! HTTP/2 frame by frame, for what no client library sends.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
};

use super::PATIENCE;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame as it came.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// One frame as it goes over the wire.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut wire = length[1..].to_vec();
    wire.extend([kind, flags]);
    wire.extend(stream.to_be_bytes());
    wire.extend(payload);
    wire
}

/// A header block, without any compression.
pub(crate) fn block(method: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    let pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "app")];
    for (name, value) in pseudo.iter().chain(fields) {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "{text}");
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// A connection.
pub(crate) struct Frames {
    stream: TcpStream,
}

impl Frames {
    /// Sends the preface and these settings.
    pub(crate) fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut frames = Self::silent(address);
        let mut payload = Vec::new();
        for (id, value) in settings {
            payload.extend(id.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        frames.try_send(&[PREFACE, &frame(4, 0, 0, &payload)].concat());
        frames
    }

    /// Sends nothing.
    pub(crate) fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream }
    }

    /// Sends, and tells whether the gateway still takes it.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The next frame; `None` where the connection has ended.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.exactly(&mut head)?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.exactly(&mut payload)?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    fn exactly(&mut self, bytes: &mut [u8]) -> Option<()> {
        match self.stream.read_exact(bytes) {
            Ok(()) => Some(()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("the connection does not end"),
            Err(_) => None,
        }
    }

    /// Everything until the gateway ends the connection, which it must.
    pub(crate) fn until_closed(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.next()).collect()
    }

    /// Sends what this makes, at most so many times, while everything is read: how often until the gateway ended the connection, and what
    /// it said. Fails where the gateway works through all of it: what the kernel holds for it may be all that is sent, so a last PING asks.
    #[track_caller]
    pub(crate) fn flood(mut self, most: usize, mut make: impl FnMut(usize) -> Vec<u8>) -> (usize, Vec<Frame>) {
        const LAST: &[u8; 8] = b"the last";
        let mut reading = Self { stream: self.stream.try_clone().unwrap() };
        let reader = thread::spawn(move || {
            let is_last = |frame: &Frame| frame.kind == 6 && frame.payload == LAST;
            std::iter::from_fn(|| reading.next())
                .map(|frame| if is_last(&frame) { Err(()) } else { Ok(frame) })
                .collect()
        });
        let sent = (0..most).take_while(|at| self.try_send(&make(*at))).count();
        self.try_send(&frame(6, 0, 0, LAST));
        let said: Result<_, ()> = reader.join().unwrap();
        (sent, said.unwrap_or_else(|()| panic!("all {sent} were taken")))
    }
}
