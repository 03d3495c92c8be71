//! As little of HTTP/2 (RFC 9113) as unary calls of gRPC need: a client whose work is a small part of the
//! server's, so that a server can be asked for more than it can do on the machine that it shares with its
//! clients. It knows the answers of our own server only.

use std::collections::HashMap;

use anyhow::{Context as _, bail, ensure};
use prost::Message;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A frame's length, type, flags and stream.
const FRAME_HEAD: usize = 9;
/// A message's flag and length.
const MESSAGE_HEAD: usize = 5;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const SETTING_TABLE_SIZE: u16 = 1;
const SETTING_MAX_STREAMS: u16 = 3;
/// What a connection may be sent before it says more, from its beginning.
const FIRST_WINDOW: i64 = 65_535;
/// What a run may be answered with in all.
const ROOM: u32 = (1 << 31) - 1 - 65_535;

/// `grpc-status` and the beginning of its value, in the code of HPACK, which has no table to refer to
/// since the client allows none.
const STATUS: &[u8] = &[0x88, 0x9a, 0xca, 0xc8, 0xb2, 0x12, 0x34, 0xda, 0x8f];
/// The values 0 and 8, `RESOURCE_EXHAUSTED`.
const OK: &[u8] = &[0x81, 0x07];
const EXHAUSTED: &[u8] = &[0x81, 0x7b];

/// How a call has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// With a message.
    Answered(Vec<u8>),
    /// With `RESOURCE_EXHAUSTED`.
    Refused,
    /// Otherwise.
    Failed,
}

/// One connection: calls go in, bytes come out, and the other way round.
#[derive(Debug)]
pub(super) struct Wire {
    out: Vec<u8>,
    input: Vec<u8>,
    next: u32,
    /// Calls that have not ended, with the message that has come.
    open: HashMap<u32, Vec<u8>>,
    most_open: usize,
    window: i64,
    authority: String,
}

impl Wire {
    pub(super) fn new(authority: String) -> Self {
        let mut wire = Self {
            out: PREFACE.to_vec(),
            input: Vec::new(),
            next: 1,
            open: HashMap::new(),
            most_open: 100,
            window: FIRST_WINDOW,
            authority,
        };
        let mut settings = SETTING_TABLE_SIZE.to_be_bytes().to_vec();
        settings.extend(0_u32.to_be_bytes());
        wire.frame(SETTINGS, 0, 0, &settings);
        wire.frame(WINDOW_UPDATE, 0, 0, &ROOM.to_be_bytes());
        wire
    }

    /// Begins a call; none if the server takes no more at the moment.
    pub(super) fn call(&mut self, path: &str, message: &impl Message) -> Option<u32> {
        let length = message.encoded_len();
        let sent = (MESSAGE_HEAD + length) as i64;
        if self.open.len() >= self.most_open || self.window < sent {
            return None;
        }
        let stream = self.next;
        self.next += 2;
        self.window -= sent;
        self.open.insert(stream, Vec::new());
        let head = self.head(path);
        self.frame(HEADERS, END_HEADERS, stream, &head);
        let mut body = vec![0];
        body.extend((length as u32).to_be_bytes());
        body.extend(message.encode_to_vec());
        self.frame(DATA, END_STREAM, stream, &body);
        Some(stream)
    }

    /// What is to be written.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Takes what was read, and shows each call that has ended.
    ///
    /// # Errors
    /// When the server closes the connection.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        mut ended: impl FnMut(u32, Ended),
    ) -> anyhow::Result<()> {
        let mut input = std::mem::take(&mut self.input);
        input.extend_from_slice(bytes);
        let mut rest = &input[..];
        while let Some((head, after)) = rest.split_first_chunk::<FRAME_HEAD>() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let Some((payload, after)) = after.split_at_checked(length) else {
                break;
            };
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            if let Some(end) = self.taken(head[3], head[4], stream, payload)? {
                ended(stream, end);
            }
            rest = after;
        }
        self.input = rest.to_vec();
        Ok(())
    }

    /// Takes a frame; how its call has ended, if it has.
    fn taken(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
    ) -> anyhow::Result<Option<Ended>> {
        match kind {
            SETTINGS if flags & ACK == 0 => {
                self.settings(payload);
                self.frame(SETTINGS, ACK, 0, &[]);
            }
            PING if flags & ACK == 0 => self.frame(PING, ACK, 0, payload),
            WINDOW_UPDATE if stream == 0 => {
                let more = payload.first_chunk().context("a window without a size")?;
                self.window += i64::from(u32::from_be_bytes(*more));
            }
            DATA => {
                if let Some(message) = self.open.get_mut(&stream) {
                    message.extend_from_slice(payload);
                }
            }
            HEADERS if flags & END_STREAM != 0 => {
                ensure!(flags & END_HEADERS != 0, "headers in more than one frame");
                return Ok(self.close(stream, payload));
            }
            // After the answer it says only that the rest of the question was not read.
            RST_STREAM => return Ok(self.open.remove(&stream).map(|_| Ended::Failed)),
            GOAWAY => bail!("the server closes the connection: {payload:?}"),
            _ => {}
        }
        Ok(None)
    }

    fn close(&mut self, stream: u32, trailers: &[u8]) -> Option<Ended> {
        let mut message = self.open.remove(&stream)?;
        let status = trailers
            .windows(STATUS.len())
            .position(|window| window == STATUS)
            .map(|at| &trailers[at + STATUS.len()..]);
        Some(match status {
            Some(status) if status.starts_with(OK) && message.len() >= MESSAGE_HEAD => {
                message.drain(..MESSAGE_HEAD);
                Ended::Answered(message)
            }
            Some(status) if status.starts_with(EXHAUSTED) => Ended::Refused,
            _ => Ended::Failed,
        })
    }

    fn settings(&mut self, payload: &[u8]) {
        for setting in payload.chunks_exact(6) {
            let name = u16::from_be_bytes([setting[0], setting[1]]);
            let value = u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
            if name == SETTING_MAX_STREAMS {
                self.most_open = value as usize;
            }
        }
    }

    /// The head of a call, in HPACK (RFC 7541): what its static table has by number, all else in full.
    fn head(&self, path: &str) -> Vec<u8> {
        // `:method: POST` and `:scheme: http`.
        let mut head = vec![0x83, 0x86];
        // By the numbers of their names: `:authority`, `:path`, `content-type`.
        literal(&mut head, &[0x01], &self.authority);
        literal(&mut head, &[0x04], path);
        literal(&mut head, &[0x0f, 0x10], "application/grpc");
        literal(&mut head, &[0x00, 2, b't', b'e'], "trailers");
        head
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = (payload.len() as u32).to_be_bytes();
        self.out.extend(&length[1..]);
        self.out.extend([kind, flags]);
        self.out.extend(stream.to_be_bytes());
        self.out.extend(payload);
    }
}

/// A header that is not to be kept in a table, its value shorter than 127 bytes.
fn literal(head: &mut Vec<u8>, name: &[u8], value: &str) {
    head.extend(name);
    head.push(value.len() as u8);
    head.extend(value.as_bytes());
}
