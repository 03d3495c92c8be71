//! The streams of shards that one caller's stream needs. What waits to be sent down a stream when it
//! ends is sent down the next, wherever the shard is then; what was sent may have been done.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use foreshadow_api::v1::{self, allocations_client::AllocationsClient};
use foreshadow_engine::trace;
use foreshadow_types::ShardId;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tracing::{Instrument as _, Span};

use super::{
    AGAIN, Credentials, Front, moving, patience,
    reach::{Lost, Reach},
};
use crate::error::ApiError;

/// Messages of one stream that are under way at a time.
pub(super) const WINDOW: usize = 32;

type Asked = v1::AllocateStreamRequest;
/// Where an answer goes.
type Reply = oneshot::Sender<Result<v1::AllocateStreamResponse, Unanswered>>;
type Lane = mpsc::Sender<(Asked, Reply)>;

/// Why something has no answer.
#[derive(Debug)]
enum Unanswered {
    /// It was not sent; nothing was done.
    NotSent(Asked),
    /// What was done is not known, or it could not be done.
    Lost(ApiError),
}

/// The streams of one caller.
#[derive(Debug, Clone)]
pub(super) struct Lanes {
    pub(super) front: Front,
    credentials: Credentials,
    /// The span of the caller's stream.
    call: Span,
    open: Arc<Mutex<BTreeMap<ShardId, Lane>>>,
}

impl Lanes {
    pub(super) fn new(front: Front, credentials: Credentials) -> Self {
        Self {
            front,
            credentials,
            call: trace::current(),
            open: Arc::default(),
        }
    }

    /// A shard's answer; waits for one that moves.
    pub(super) async fn ask(
        &self,
        shard: ShardId,
        mut asked: Asked,
    ) -> Result<v1::AllocateStreamResponse, ApiError> {
        let until = patience();
        loop {
            let lane = self.lane(shard, until).await?;
            asked = match answered(&lane, asked).await {
                Ok(answer) => return Ok(answer),
                Err(Unanswered::Lost(error)) => return Err(error),
                Err(Unanswered::NotSent(asked)) => asked,
            };
            if Instant::now() + AGAIN >= until {
                return Err(moving(shard));
            }
            sleep(AGAIN).await;
        }
    }

    /// The open stream of a shard, or a new one.
    async fn lane(&self, shard: ShardId, until: Instant) -> Result<Lane, ApiError> {
        let open = self.open().get(&shard).cloned();
        if let Some(lane) = open.filter(|lane| !lane.is_closed()) {
            return Ok(lane);
        }
        let reach = self.front.reach(shard, &self.credentials, until).await?;
        let client = AllocationsClient::new(reach);
        let (lane, asked) = mpsc::channel(WINDOW);
        tokio::spawn(carry(client, asked).instrument(self.call.clone()));
        self.open().insert(shard, lane.clone());
        Ok(lane)
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<ShardId, Lane>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answered(lane: &Lane, asked: Asked) -> Result<v1::AllocateStreamResponse, Unanswered> {
    let (reply, answer) = oneshot::channel();
    let sent = lane.send((asked, reply)).await;
    sent.map_err(|unsent| Unanswered::NotSent(unsent.0.0))?;
    answer
        .await
        .unwrap_or_else(|_| Err(Unanswered::Lost(ended())))
}

/// Carries what is asked to a shard and its answers back, in order, until either side ends.
async fn carry(mut client: AllocationsClient<Reach>, mut asked: mpsc::Receiver<(Asked, Reply)>) {
    let (sending, sent) = mpsc::channel(WINDOW);
    let opened = client.allocate_stream(ReceiverStream::new(sent)).await;
    // It would keep the shard's services beyond its time here.
    drop(client);
    let mut answers = match opened.map_err(Lost::of) {
        Ok(answers) => answers.into_inner(),
        Err(Lost::Moved) => return give_back(asked).await,
        Err(Lost::Broken(status)) => match ApiError::from(status) {
            error if error.code == Code::Unavailable => return give_back(asked).await,
            error => return refuse(asked, &error).await,
        },
    };
    let mut open = VecDeque::<Reply>::new();
    let why = loop {
        // An end that is known is seen before anything more is sent.
        tokio::select! {
            biased;
            answer = answers.message() => match answer {
                Ok(Some(answer)) => if let Some(reply) = open.pop_front() {
                    // A caller that has gone away needs no answer.
                    let _ = reply.send(Ok(answer));
                },
                Ok(None) => break ended(),
                Err(status) => match ApiError::from(status) {
                    error if error.code == Code::Unavailable => break ended(),
                    error => break error,
                },
            },
            one = asked.recv(), if open.len() < WINDOW => {
                let Some((asked, reply)) = one else { return };
                open.push_back(reply);
                // There is room for as many as are open; an end is seen above.
                let _ = sending.send(asked).await;
            }
        }
    };
    give_back(asked).await;
    for reply in open {
        let _ = reply.send(Err(Unanswered::Lost(why.clone())));
    }
}

/// What is still to be sent goes back to whoever asks.
async fn give_back(mut queue: mpsc::Receiver<(Asked, Reply)>) {
    queue.close();
    // It ends when those have sent that had begun to.
    while let Some((asked, reply)) = queue.recv().await {
        let _ = reply.send(Err(Unanswered::NotSent(asked)));
    }
}

/// The shard refuses whoever asks.
async fn refuse(mut queue: mpsc::Receiver<(Asked, Reply)>, why: &ApiError) {
    queue.close();
    while let Some((_, reply)) = queue.recv().await {
        let _ = reply.send(Err(Unanswered::Lost(why.clone())));
    }
}

/// What was done of it is not known.
fn ended() -> ApiError {
    let mut error = ApiError::unavailable("the shard's stream has ended; try again in a moment");
    error.retry_after = Some(AGAIN);
    error
}
