//! Asking a process whether it is well.

use std::{io, net::Ipv4Addr, path::Path, time::Duration};

use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, SeekFrom},
    net::TcpStream,
    time::timeout,
};

use crate::spec::Readiness;

/// The longest status line that is read.
const MAX_STATUS_BYTES: usize = 256;

/// The most output that is searched for the awaited line at a time.
const OUTPUT_CHUNK: usize = 64 * 1024;

/// One question over the network; any doubt is a no.
pub(crate) async fn answers(readiness: &Readiness, port: u16, within: Duration) -> bool {
    let question = async {
        match readiness {
            Readiness::Http(path) => http_ok("GET", path, port).await.unwrap_or(false),
            Readiness::Tcp => TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                .await
                .is_ok(),
            Readiness::Stdout(_) => true,
        }
    };
    timeout(within, question).await.unwrap_or(false)
}

/// Calls an instance to make itself as new; any doubt is a no.
pub(crate) async fn resets(path: &str, port: u16, within: Duration) -> bool {
    let call = http_ok("POST", path, port);
    timeout(within, call)
        .await
        .is_ok_and(|answer| answer.unwrap_or(false))
}

async fn http_ok(method: &str, path: &str, port: u16) -> io::Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::with_capacity(MAX_STATUS_BYTES);
    while !head.contains(&b'\n') && head.len() < MAX_STATUS_BYTES {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    Ok(status_of(&head).is_some_and(|status| (200..400).contains(&status)))
}

fn status_of(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    words.next()?.starts_with("HTTP/").then_some(())?;
    words.next()?.parse().ok()
}

/// Looks for a line in what a process writes, going on where it ended before.
#[derive(Debug)]
pub(crate) struct LineSearch {
    awaited: Vec<u8>,
    offset: u64,
    /// The beginning of a line whose end has not been written yet.
    partial: Vec<u8>,
}

impl LineSearch {
    pub(crate) fn new(awaited: &str) -> Self {
        Self {
            awaited: awaited.as_bytes().to_vec(),
            offset: 0,
            partial: Vec::new(),
        }
    }

    /// Whether a whole line with the awaited text has been written by now.
    pub(crate) async fn found(&mut self, output: &Path) -> io::Result<bool> {
        let mut file = File::open(output).await?;
        file.seek(SeekFrom::Start(self.offset)).await?;
        let mut chunk = vec![0; OUTPUT_CHUNK];
        loop {
            let read = file.read(&mut chunk).await?;
            if read == 0 {
                return Ok(false);
            }
            self.offset += read as u64;
            if self.search(&chunk[..read]) {
                return Ok(true);
            }
        }
    }

    fn search(&mut self, written: &[u8]) -> bool {
        for piece in written.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let found = contains(&self.partial, &self.awaited);
                self.partial.clear();
                if found {
                    return true;
                }
            } else if self.partial.len() > OUTPUT_CHUNK {
                // A line this long is not the awaited one; its end alone is kept for the match.
                let excess = self.partial.len() - self.awaited.len().min(OUTPUT_CHUNK);
                self.partial.drain(..excess);
            }
        }
        false
    }
}

fn contains(line: &[u8], awaited: &[u8]) -> bool {
    line.windows(awaited.len()).any(|window| window == awaited)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_when_it_is_whole() {
        let mut search = LineSearch::new("ready");
        assert!(!search.search(b"starting\nrea"));
        assert!(!search.search(b"dy"));
        assert!(search.search(b" now\n"));
    }

    #[test]
    fn a_status_line_is_read_strictly() {
        assert_eq!(status_of(b"HTTP/1.0 200 OK\r\n"), Some(200));
        assert_eq!(status_of(b"HTTP/1.1 503 Busy\r\n"), Some(503));
        assert_eq!(status_of(b"SSH-2.0 200\r\n"), None);
        assert_eq!(status_of(b""), None);
    }
}
