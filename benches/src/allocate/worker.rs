//! A worker of the burst's pool: a process that answers over HTTP.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
};

use anyhow::Context as _;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

/// Answers one connection after the other until it is stopped.
pub(crate) fn serve(port: Option<&str>) -> anyhow::Result<()> {
    let port: u16 = port.context("give the port")?.parse()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    for stream in listener.incoming() {
        // A caller that has gone away needs no answer.
        let _ = answer(stream?);
    }
    Ok(())
}

fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    reader.into_inner().write_all(ANSWER)
}
