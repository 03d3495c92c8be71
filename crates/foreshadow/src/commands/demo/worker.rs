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
    let mut request = [0_u8; 1024];
    let _length = connection.read(&mut request)?;
    write!(
        connection,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{BODY}",
        BODY.len()
    )
}
