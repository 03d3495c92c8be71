//! The ledger's own thread. Its callers may be inside a runtime, where they must not start another:
//! here is one for the connection alone.

use std::{sync::mpsc::SyncSender, thread::JoinHandle};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::server::Server;
use crate::{LedgerError, Place, block::Block, store::End};

/// Where an answer is waited for.
pub(super) type Answer<T> = SyncSender<Result<T, LedgerError>>;

/// What the thread is asked to do.
pub(super) enum Request {
    End(Answer<End>),
    Append(Block, Answer<()>),
    Replace(i64, Vec<Block>, Answer<()>),
    Blocks(Answer<Vec<Block>>),
    PutDocument(String, Vec<u8>, Answer<()>),
    RemoveDocument(String, Answer<()>),
    Document(String, Answer<Option<Vec<u8>>>),
    Documents(String, Answer<Vec<(String, Vec<u8>)>>),
    Compact(Answer<()>),
}

/// The thread, seen from outside. It ends with this value.
#[derive(Debug)]
pub(super) struct Worker {
    /// There is one request at a time.
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub(super) fn start(server: Server) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (requests, received) = channel(1);
        let thread = std::thread::Builder::new().name("shared-ledger".to_owned());
        let thread = thread.spawn(move || runtime.block_on(serve(server, received)))?;
        Ok(Self {
            requests: Some(requests),
            thread: Some(thread),
        })
    }

    /// Waits for the answer, for about as long as the patience lasts.
    pub(super) fn ask<T>(
        &self,
        place: &Place,
        request: impl FnOnce(Answer<T>) -> Request,
    ) -> Result<T, LedgerError> {
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        let stopped = || LedgerError::Stopped {
            place: place.clone(),
        };
        let requests = self.requests.as_ref().ok_or_else(stopped)?;
        requests.try_send(request(answer)).map_err(|_| stopped())?;
        answered.recv().map_err(|_| stopped())?
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

async fn serve(mut server: Server, mut requests: Receiver<Request>) {
    while let Some(request) = requests.recv().await {
        // Whoever asked waits for the answer, so that it is always taken.
        let _answered = match request {
            Request::End(answer) => answer.send(server.end_of_blocks().await).is_ok(),
            Request::Append(block, answer) => answer.send(server.append(&block).await).is_ok(),
            Request::Replace(first, blocks, answer) => {
                answer.send(server.replace(first, &blocks).await).is_ok()
            }
            Request::Blocks(answer) => answer.send(server.blocks().await).is_ok(),
            Request::PutDocument(name, body, answer) => {
                answer.send(server.put_document(&name, &body).await).is_ok()
            }
            Request::RemoveDocument(name, answer) => {
                answer.send(server.remove_document(&name).await).is_ok()
            }
            Request::Document(name, answer) => answer.send(server.document(&name).await).is_ok(),
            Request::Documents(prefix, answer) => {
                answer.send(server.documents(&prefix).await).is_ok()
            }
            Request::Compact(answer) => answer.send(server.compact().await).is_ok(),
        };
    }
    server.end().await;
}
