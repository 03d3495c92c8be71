//! Streams end when the server stops.

use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// The items of a stream; at a shutdown it ends with UNAVAILABLE, so that the caller goes elsewhere.
pub(crate) fn until_shutdown<T: Send + 'static>(
    items: impl Stream<Item = Result<T, Status>> + Send + 'static,
    shutdown: &CancellationToken,
) -> BoxStream<'static, Result<T, Status>> {
    let stopped = shutdown.clone().cancelled_owned();
    let told = shutdown.clone();
    let goodbye = stream::once(async move {
        told.is_cancelled()
            .then(|| Err(Status::unavailable("the server is shutting down")))
    });
    items
        .take_until(stopped)
        .chain(goodbye.filter_map(std::future::ready))
        .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_ends_by_itself_or_with_a_goodbye() {
        let shutdown = CancellationToken::new();
        let short = until_shutdown(stream::iter([Ok(1), Ok(2)]), &shutdown);
        assert_eq!(short.collect::<Vec<_>>().await.len(), 2);
        let endless = until_shutdown(stream::pending::<Result<i32, Status>>(), &shutdown);
        shutdown.cancel();
        let last = endless.collect::<Vec<_>>().await.pop().unwrap();
        assert_eq!(last.unwrap_err().code(), tonic::Code::Unavailable);
    }
}
