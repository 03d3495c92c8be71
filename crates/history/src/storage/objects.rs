//! Objects of a store that speaks S3. Where it is and who asks comes from the environment variables
//! that every S3 client reads: `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ACCESS_KEY_ID`, … .

use std::{
    collections::BTreeMap,
    fs::File,
    future::Future,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex, PoisonError, mpsc},
    time::Duration,
};

use futures::StreamExt as _;
use object_store::{
    ObjectStore, ObjectStoreExt as _, PutPayload, RetryConfig, aws::AmazonS3Builder,
    path::Path as Key,
};
use tokio::runtime::{Builder, Runtime};

use super::S3;
use crate::HistoryError;

/// What is sent at a time; an object of one piece is put in one request.
const PIECE: usize = 8 << 20;
/// Pieces on their way between the store and the disk.
const PIECES_WAITING: usize = 4;
/// How long a store that does not answer is asked again.
const PATIENCE: Duration = Duration::from_secs(30);

/// The stores that were asked so far, by bucket.
static STORES: Mutex<BTreeMap<String, Arc<dyn ObjectStore>>> = Mutex::new(BTreeMap::new());
/// What drives the connections to stores. Callers are threads that may wait.
static CONNECTIONS: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("object-store")
        .enable_all()
        .build()
});

/// An object and where it is.
struct Object {
    path: PathBuf,
    bucket: String,
    store: Arc<dyn ObjectStore>,
    key: Key,
}

/// All objects below a prefix.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>, HistoryError> {
    let object = Object::at(folder)?;
    let (store, key) = (object.store.clone(), object.key.clone());
    let keys = object.wait(async move {
        let mut found = store.list(Some(&key));
        let mut keys = Vec::new();
        while let Some(meta) = found.next().await {
            keys.push(meta?.location);
        }
        Ok(keys)
    })?;
    let path = |key: Key| PathBuf::from(format!("{S3}{}/{key}", object.bucket));
    Ok(keys.into_iter().map(path).collect())
}

pub(super) fn exists(path: &Path) -> Result<bool, HistoryError> {
    let object = Object::at(path)?;
    let (store, key) = (object.store.clone(), object.key.clone());
    object.wait(async move {
        match store.head(&key).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    })
}

pub(super) fn remove(path: &Path) -> Result<(), HistoryError> {
    let object = Object::at(path)?;
    let (store, key) = (object.store.clone(), object.key.clone());
    object.wait(async move {
        match store.delete(&key).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            deleted => deleted,
        }
    })
}

/// Writes an object into a file, which is left at its beginning.
pub(super) fn fetch(path: &Path, into: &mut File) -> Result<(), HistoryError> {
    let object = Object::at(path)?;
    let (store, key) = (object.store.clone(), object.key.clone());
    let (send, pieces) = mpsc::sync_channel(PIECES_WAITING);
    let ended = object.begin(async move {
        let mut stream = store.get(&key).await?.into_stream();
        while let Some(piece) = stream.next().await {
            let piece = piece?;
            // The disk may be slower than the store; this thread has nothing else to drive then.
            if tokio::task::block_in_place(|| send.send(piece)).is_err() {
                break;
            }
        }
        Ok(())
    })?;
    let failed = |error| HistoryError::io(path, error);
    for piece in pieces {
        into.write_all(&piece).map_err(failed)?;
    }
    object.ended(&ended)?;
    into.seek(SeekFrom::Start(0)).map_err(failed)?;
    Ok(())
}

/// Puts a whole file: in one request, or in pieces that become an object with the last of them.
pub(super) fn put(file: &mut File, path: &Path) -> Result<(), HistoryError> {
    let object = Object::at(path)?;
    let failed = |error| HistoryError::io(path, error);
    let size = file.seek(SeekFrom::End(0)).map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    if size <= PIECE as u64 {
        let piece = next_piece(file).map_err(failed)?;
        let (store, key) = (object.store.clone(), object.key.clone());
        return object.wait(async move { store.put(&key, piece.into()).await.map(|_| ()) });
    }
    object.put_in_pieces(file)
}

fn next_piece(file: &mut File) -> std::io::Result<Vec<u8>> {
    let mut piece = Vec::new();
    file.take(PIECE as u64).read_to_end(&mut piece)?;
    Ok(piece)
}

impl Object {
    fn at(path: &Path) -> Result<Self, HistoryError> {
        super::check_reachable(path)?;
        let refused = |reason: String| HistoryError::Remote {
            path: path.to_owned(),
            reason,
        };
        let text = path.to_str().and_then(|text| text.strip_prefix(S3));
        let text = text.ok_or_else(|| refused("the path is no text".to_owned()))?;
        let (bucket, key) = text.split_once('/').unwrap_or((text, ""));
        if bucket.is_empty() {
            let reason = "it names no bucket; write s3://bucket/prefix".to_owned();
            return Err(refused(reason));
        }
        let key = Key::parse(key.trim_end_matches('/'));
        Ok(Self {
            path: path.to_owned(),
            store: store_of(bucket).map_err(refused)?,
            bucket: bucket.to_owned(),
            key: key.map_err(|error| refused(error.to_string()))?,
        })
    }

    fn put_in_pieces(&self, file: &mut File) -> Result<(), HistoryError> {
        let (store, key) = (self.store.clone(), self.key.clone());
        let mut upload = self.wait(async move { store.put_multipart(&key).await })?;
        let sent = loop {
            let piece = match next_piece(file) {
                Ok(piece) => PutPayload::from(piece),
                Err(error) => break Err(HistoryError::io(&self.path, error)),
            };
            if piece.content_length() == 0 {
                break Ok(());
            }
            if let Err(error) = self.wait(upload.put_part(piece)) {
                break Err(error);
            }
        };
        if let Err(error) = sent {
            // Pieces that are left in the store would be paid for. That this fails too would say less
            // than what has failed before.
            let _ = self.wait(async move { upload.abort().await });
            return Err(error);
        }
        self.wait(async move { upload.complete().await.map(|_| ()) })
    }

    /// Waits until the store has answered.
    fn wait<T: Send + 'static>(
        &self,
        asked: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Result<T, HistoryError> {
        self.ended(&self.begin(asked)?)
    }

    fn begin<T: Send + 'static>(
        &self,
        asked: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Result<mpsc::Receiver<object_store::Result<T>>, HistoryError> {
        let connections = CONNECTIONS.as_ref();
        let connections = connections.map_err(|error| self.refused(error.to_string()))?;
        let (send, ended) = mpsc::sync_channel(1);
        connections.spawn(async move {
            // Whoever asked waits for it.
            let _ = send.send(asked.await);
        });
        Ok(ended)
    }

    fn ended<T>(&self, ended: &mpsc::Receiver<object_store::Result<T>>) -> Result<T, HistoryError> {
        let answer = ended.recv();
        let answer = answer.map_err(|_| self.refused("the request broke off".to_owned()))?;
        answer.map_err(|error| self.refused(error.to_string()))
    }

    fn refused(&self, reason: String) -> HistoryError {
        HistoryError::Remote {
            path: self.path.clone(),
            reason,
        }
    }
}

/// The store of a bucket, made once.
fn store_of(bucket: &str) -> Result<Arc<dyn ObjectStore>, String> {
    let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(store) = stores.get(bucket) {
        return Ok(store.clone());
    }
    let endpoint = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];
    let plain = endpoint
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .any(|url| url.starts_with("http://"));
    let store = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        // An address without TLS was given on purpose.
        .with_allow_http(plain)
        .with_retry(RetryConfig {
            retry_timeout: PATIENCE,
            ..RetryConfig::default()
        })
        .build()
        .map_err(|error| error.to_string())?;
    let store: Arc<dyn ObjectStore> = Arc::new(store);
    stores.insert(bucket.to_owned(), store.clone());
    Ok(store)
}
