//! Requests that take their time, and heads that are too large.

use std::time::{Duration, Instant};

use foreshadow_api::v1::{
    AllocateRequest, AllocateStreamRequest, AllocateStreamResponse, Allocation,
    allocate_request::Target,
};
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request};

use crate::support::Served;

const ARRIVAL: Duration = Duration::from_millis(400);

async fn served() -> Served {
    Served::start_with(|options| options.arrival = ARRIVAL).await
}

/// What is answered to a request whose body comes byte by byte, and how long it took.
#[expect(
    clippy::disallowed_methods,
    reason = "this test waits for a real server"
)]
async fn dripped(served: &Served, path: &str) -> (String, Duration) {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-protobuf\r\n\
         content-length: 1000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4_096];
    loop {
        // The other side may have closed already.
        let _ = stream.write_all(b"x").await;
        match timeout(Duration::from_millis(50), stream.read(&mut answer)).await {
            Ok(read) => {
                let text = String::from_utf8_lossy(&answer[..read.unwrap()]).into_owned();
                return (text, begun.elapsed());
            }
            Err(_) => assert!(
                begun.elapsed() < Duration::from_secs(20),
                "it is open still"
            ),
        }
    }
}

#[tokio::test]
async fn a_body_that_drips_is_let_go_also_of_passive_senders() {
    let served = served().await;
    for path in ["/api/v1/write", "/v1/metrics"] {
        let (answer, took) = dripped(&served, path).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{path}: {answer}");
        assert!(
            answer.contains("did not arrive within 0.4 s"),
            "{path}: {answer}"
        );
        assert!(took >= ARRIVAL, "{path}: {took:?}");
    }
    let whole = served.post("/api/v1/write", "x").await;
    assert_eq!(whole.status, 400, "what arrives is read: {whole:?}");
    served.stop().await;
}

#[tokio::test]
async fn a_call_that_is_not_sent_to_its_end_is_let_go_and_a_stream_is_not() {
    let served = served().await;
    let mut client = tonic::client::Grpc::new(served.channel().await);
    let request = AllocateRequest {
        user_id: "ada".to_owned(),
        target: Some(Target::Pool("notebook".to_owned())),
        ..AllocateRequest::default()
    };
    client.ready().await.unwrap();
    let (sender, sent) = mpsc::channel(1);
    sender.send(request.clone()).await.unwrap();
    let codec = tonic_prost::ProstCodec::<AllocateRequest, Allocation>::default();
    let path = "/foreshadow.v1.Allocations/Allocate".parse().unwrap();
    let asked = client.streaming(Request::new(ReceiverStream::new(sent)), path, codec);
    let code = match timeout(Duration::from_secs(20), asked).await.unwrap() {
        Ok(answer) => answer.into_inner().message().await.unwrap_err().code(),
        Err(status) => status.code(),
    };
    assert_eq!(code, Code::DeadlineExceeded);
    drop(sender);

    client.ready().await.unwrap();
    let (sender, sent) = mpsc::channel(1);
    let codec = tonic_prost::ProstCodec::<AllocateStreamRequest, AllocateStreamResponse>::default();
    let path = "/foreshadow.v1.Allocations/AllocateStream".parse().unwrap();
    let answers = client.streaming(Request::new(ReceiverStream::new(sent)), path, codec);
    let mut answers = answers.await.unwrap().into_inner();
    for _ in 0..2 {
        sleep(ARRIVAL * 2).await;
        let batch = AllocateStreamRequest {
            requests: vec![request.clone()],
            ..AllocateStreamRequest::default()
        };
        sender.send(batch).await.unwrap();
        let answer = answers.message().await.unwrap().unwrap();
        assert!(answer.encoded_len() > 0, "{answer:?}");
    }
    served.stop().await;
}

#[tokio::test]
async fn a_flood_of_headers_is_refused() {
    let served = Served::start(None).await;
    let many: Vec<(String, String)> = (0..2_000)
        .map(|n| (format!("x-{n}"), "y".repeat(20)))
        .collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(n, v)| (&**n, &**v)).collect();
    let large = "y".repeat(600 << 10);
    for flood in [&*many, &[("x-large", &*large)]] {
        let answer = served.ask("GET", "/healthz", flood, "").await;
        assert_eq!(answer.status, 431, "{}", answer.head);
    }
    assert_eq!(served.get("/healthz").await.status, 200);
    served.stop().await;
}
