//! The resource that the demonstration starts: slow to become ready, then a small web server.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use crate::failure::Failure;

/// Arguments of the hidden command that the demonstration's pool runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The loopback port to serve on.
    #[arg(long)]
    port: u16,
    /// How long to take until ready, in milliseconds.
    #[arg(long)]
    startup_ms: u64,
}

const BODY: &str = "a warm notebook\n";
/// The longest request that is read.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Takes its time, then answers each connection until it is stopped.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    thread::sleep(Duration::from_millis(args.startup_ms));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port))?;
    for connection in listener.incoming().flatten() {
        // A caller that went away is no reason to stop.
        let _gone = answer(connection);
    }
    Ok(())
}

fn answer(mut connection: TcpStream) -> std::io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(1)))?;
    read_head(&mut connection)?;
    write!(
        connection,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{BODY}",
        BODY.len()
    )
}

/// Reads to the end of the request's head; what is left unread would reset the connection.
fn read_head(connection: &mut TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut part = [0_u8; 1024];
    while head.len() < MAX_HEAD_BYTES && !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match connection.read(&mut part)? {
            0 => break,
            length => head.extend_from_slice(&part[..length]),
        }
    }
    Ok(())
}
