//! Streams end when the server stops.

use futures::{
    FutureExt as _, Stream, StreamExt,
    future::ready,
    stream::{self, BoxStream},
};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// Changes that nobody has asked for one by one; at a shutdown they end with a goodbye.
pub(crate) fn until_shutdown<T: Send + 'static>(
    items: impl Stream<Item = Result<T, Status>> + Send + 'static,
    shutdown: &CancellationToken,
) -> BoxStream<'static, Result<T, Status>> {
    let items = items.take_until(shutdown.clone().cancelled_owned());
    with_goodbye(items, shutdown)
}

/// What a caller sends, up to the first message that cannot be read; none is taken after a shutdown has
/// begun. The answers to those that were taken are still to be given, so it is what comes in that ends
/// here and not what goes out.
pub(crate) fn messages<T, R: Send + 'static>(
    sent: impl Stream<Item = Result<T, Status>> + Send + 'static,
    read: impl Fn(T) -> Result<R, Status> + Send + 'static,
    shutdown: &CancellationToken,
) -> impl Stream<Item = Result<R, Status>> + Send + 'static {
    sent.take_until(shutdown.clone().cancelled_owned())
        .map(move |message| message.and_then(&read))
        .scan(false, |ended, message| {
            let next = (!*ended).then_some(message);
            *ended = next.as_ref().is_none_or(Result::is_err);
            ready(next)
        })
}

/// The answers to the messages, in order; so many messages at the most are taken before the answer to
/// the first of them is. What was begun goes on whether or not the caller takes answers, so that one
/// who does not holds up nobody.
pub(crate) fn decided<M, T, F>(
    messages: impl Stream<Item = Result<M, Status>> + Send + 'static,
    window: usize,
    mut decide: impl FnMut(M) -> F + Send + 'static,
) -> impl Stream<Item = Result<T, Status>> + Send + 'static
where
    M: Send + 'static,
    T: Send + 'static,
    F: Future<Output = Result<T, Status>> + Send + 'static,
{
    let (answering, answers) = mpsc::channel(window);
    // A message is begun when there is a place for its answer.
    let places = stream::unfold(answering, |answering| async {
        let place = answering.clone().reserve_owned().await.ok()?;
        Some((place, answering))
    });
    // It ends with the stream of answers: then nobody takes them.
    let mut deciding = JoinSet::new();
    deciding.spawn(
        messages
            .zip(places)
            .map(move |(message, place)| {
                let decided = message.map(&mut decide);
                async move {
                    let answer = match decided {
                        Ok(decided) => decided.await,
                        Err(status) => Err(status),
                    };
                    (place, answer)
                }
            })
            .buffered(window)
            .for_each(|(place, answer)| {
                place.send(answer);
                ready(())
            }),
    );
    stream::unfold((answers, deciding), |(mut answers, mut deciding)| async {
        let answer = match answers.recv().await {
            Some(answer) => answer,
            // Answers are missing if it has not come to its end.
            None => Err(broken_off(&deciding.join_next().await?.err()?)),
        };
        Some((answer, (answers, deciding)))
    })
}

fn broken_off(error: &JoinError) -> Status {
    tracing::error!(%error, "the answers of a stream broke off");
    Status::internal(
        "the answers broke off; send what has none again, with the same idempotency keys",
    )
}

/// The answers; after the last one, if the server is stopping, UNAVAILABLE, so that the caller goes
/// elsewhere.
pub(crate) fn with_goodbye<T: Send + 'static>(
    answers: impl Stream<Item = Result<T, Status>> + Send + 'static,
    shutdown: &CancellationToken,
) -> BoxStream<'static, Result<T, Status>> {
    let shutdown = shutdown.clone();
    let goodbye = async move {
        let stopping = shutdown.is_cancelled();
        stopping.then(|| Err(Status::unavailable("the server is shutting down")))
    };
    let goodbye = goodbye.into_stream().filter_map(ready);
    answers.chain(goodbye).boxed()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{
        sync::{Semaphore, mpsc},
        task::yield_now,
    };
    use tokio_stream::wrappers::ReceiverStream;
    use tonic::Code;

    use super::*;

    #[tokio::test]
    async fn a_stream_ends_by_itself_or_with_a_goodbye() {
        let shutdown = CancellationToken::new();
        let short = until_shutdown(stream::iter([Ok(1), Ok(2)]), &shutdown);
        assert_eq!(short.collect::<Vec<_>>().await.len(), 2);
        let endless = until_shutdown(stream::pending::<Result<i32, Status>>(), &shutdown);
        shutdown.cancel();
        let last = endless.collect::<Vec<_>>().await.pop().unwrap();
        assert_eq!(last.unwrap_err().code(), Code::Unavailable);
    }

    /// Answers each message when there is a permit for it, several at a time.
    fn answered(
        sent: mpsc::Receiver<Result<i32, Status>>,
        permits: &Arc<Semaphore>,
        shutdown: &CancellationToken,
    ) -> BoxStream<'static, Result<i32, Status>> {
        let read = |number: i32| match number {
            0.. => Ok(number),
            _ => Err(Status::invalid_argument("below zero")),
        };
        let permits = permits.clone();
        let messages = messages(ReceiverStream::new(sent), read, shutdown);
        let answers = decided(messages, 8, move |message| {
            let permits = permits.clone();
            async move {
                permits.acquire().await.unwrap().forget();
                Ok(message)
            }
        });
        with_goodbye(answers, shutdown)
    }

    #[tokio::test]
    async fn what_was_taken_before_a_shutdown_is_answered_and_nothing_is_taken_after() {
        let (shutdown, permits) = (CancellationToken::new(), Arc::new(Semaphore::new(0)));
        let (sending, sent) = mpsc::channel(16);
        let answers = answered(sent, &permits, &shutdown);
        let answers = tokio::spawn(answers.collect::<Vec<_>>());
        for number in 0..4 {
            sending.send(Ok(number)).await.unwrap();
        }
        while sending.capacity() < sending.max_capacity() {
            yield_now().await;
        }
        shutdown.cancel();
        sending.send(Ok(4)).await.unwrap();
        permits.add_permits(8);
        let mut answers = answers.await.unwrap();
        let goodbye = answers.pop().unwrap().unwrap_err();
        assert_eq!(goodbye.code(), Code::Unavailable);
        let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, [0, 1, 2, 3]);
    }

    #[tokio::test]
    async fn a_stream_whose_answers_break_off_does_not_look_whole() {
        let sent = stream::iter([Ok(1), Ok(0), Ok(2)]);
        let answers = decided(sent, 1, |number| async move {
            assert_ne!(number, 0, "a fault");
            Ok(number)
        });
        let answers = answers.collect::<Vec<_>>().await;
        let [Ok(1), Err(fault)] = &*answers else {
            panic!("{answers:?}");
        };
        assert_eq!(fault.code(), Code::Internal);
    }

    #[tokio::test]
    async fn nothing_is_taken_after_a_message_that_cannot_be_read() {
        let (shutdown, permits) = (CancellationToken::new(), Arc::new(Semaphore::new(8)));
        let (sending, sent) = mpsc::channel(16);
        for number in [0, -1, 2, 3] {
            sending.send(Ok(number)).await.unwrap();
        }
        let answers = answered(sent, &permits, &shutdown);
        let answers = answers.collect::<Vec<_>>().await;
        let [Ok(0), Err(refused)] = &*answers else {
            panic!("{answers:?}");
        };
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(permits.available_permits(), 7);
    }

    #[tokio::test]
    async fn a_caller_who_takes_no_answers_is_decided_for_and_then_not_read_any_more() {
        let (shutdown, permits) = (CancellationToken::new(), Arc::new(Semaphore::new(64)));
        let (sending, sent) = mpsc::channel(64);
        let answers = answered(sent, &permits, &shutdown);
        for number in 0..64 {
            sending.send(Ok(number)).await.unwrap();
        }
        for _ in 0..100 {
            yield_now().await;
        }
        assert_eq!(permits.available_permits(), 64 - 8, "one for each place");
        drop(sending);
        assert_eq!(answers.collect::<Vec<_>>().await.len(), 64);
    }
}
