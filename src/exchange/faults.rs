//! What peers, networks and disks can do to a fetch, and that each of it ends as a lost partition, in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{
    ArrayRef, BinaryArray, DictionaryArray, Float64Array, RecordBatch, StringArray, StringViewArray,
};
use arrow::datatypes::Int32Type;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{Action, Criteria, Empty, FlightData, Ticket};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{
    DictionaryHandling, DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions,
};
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use super::conformance::{TestDir, counted, flight, key, numbers, serve, worker};
use super::encode::BatchEncoder;
use super::flight::server::{self, DataStream, trailer_data};
use super::flight::service::Service;
use super::frame::{FRAME_BYTES_MAX, Frame, Tally, Trailer};
use super::*;

/// Encodes batches as a worker would send them: messages and the true trailer.
fn encoded(batches: &[RecordBatch]) -> (Vec<FlightData>, Trailer) {
    let (mut encoder, schema) = BatchEncoder::new(batches[0].schema()).unwrap();
    let mut tally = Tally::new();
    let mut frames = vec![schema];
    tally.sum(&frames[0]);
    for batch in batches {
        encoder
            .encode(0, batch, &mut |frame, rows| {
                tally.sum(&frame);
                rows.into_iter().for_each(|rows| tally.count(rows));
                frames.push(frame);
                Ok(())
            })
            .unwrap();
    }
    (frames.into_iter().map(message).collect(), tally.trailer())
}

fn message(frame: Frame) -> FlightData {
    FlightData {
        data_header: frame.header,
        data_body: frame.body,
        ..FlightData::default()
    }
}

/// How long these readers wait for a message.
const SOON: Duration = Duration::from_millis(500);

/// What a wrong peer does after its messages.
#[derive(Clone, Copy)]
enum Then {
    End,
    Stall,
    Fail(Code),
}

/// Reads from a peer that sends `messages` and then does `then`; returns the reason of the loss, and says that
/// the peer was asked.
async fn lost_with(messages: Vec<FlightData>, then: Then) -> String {
    lost_within(SOON, messages, then).await
}

async fn lost_within(idle_timeout: Duration, messages: Vec<FlightData>, then: Then) -> String {
    let asked = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Arc::clone(&asked);
    let open = move |_: &Ticket| -> Result<DataStream, Status> {
        seen.fetch_add(1, Ordering::SeqCst);
        let messages = stream::iter(messages.clone()).map(Ok);
        Ok(match then {
            Then::End => messages.boxed(),
            Then::Stall => messages.chain(stream::pending()).boxed(),
            Then::Fail(code) => messages
                .chain(stream::iter([Err(Status::new(code, "as asked"))]))
                .boxed(),
        })
    };
    let service = Service::new(open, Vec::new, None);
    let shutdown = CancellationToken::new();
    let config = FlightConfig {
        grace: Duration::ZERO,
        ..FlightConfig::default()
    };
    let serving = tokio::spawn(server::serve(listener, service, shutdown.clone(), config));
    let reason = lost_from_within(idle_timeout, &address).await;
    assert!(
        asked.load(Ordering::SeqCst) >= 1,
        "the peer was never asked"
    );
    shutdown.cancel();
    serving.await.unwrap().unwrap();
    reason
}

/// Reads from whatever is at `flight`; returns the reason of the loss, which must come soon.
async fn lost_from(flight: &str) -> String {
    lost_from_within(SOON, flight).await
}

async fn lost_from_within(idle_timeout: Duration, flight: &str) -> String {
    let dir = TestDir::new();
    let config = FetchConfig {
        connect_timeout: Duration::from_millis(500),
        idle_timeout,
        ..FetchConfig::default()
    };
    let exchange = FlightExchange::new(dir.store(0, 0), worker("reader", 9, ""), config);
    let address = PartitionAddress {
        key: key("j", 1, 0),
        worker: worker("writer", 1, flight),
    };
    let start = Instant::now();
    let read = async {
        let stream = exchange.fetch(&address).await?;
        stream.try_collect::<Vec<_>>().await
    };
    let error = match tokio::time::timeout(Duration::from_secs(20), read).await {
        Ok(Ok(batches)) => panic!("{} batches were taken for the partition", batches.len()),
        Ok(Err(error)) => error,
        Err(_) => panic!("it hangs"),
    };
    assert!(
        start.elapsed() < Duration::from_secs(15),
        "{:?}",
        start.elapsed()
    );
    let Error::Lost {
        address: of,
        reason,
    } = error
    else {
        panic!("not lost but {error:?}");
    };
    assert_eq!(*of, address);
    reason
}

fn with_trailer(mut messages: Vec<FlightData>, trailer: &Trailer) -> Vec<FlightData> {
    messages.push(trailer_data(trailer).unwrap());
    messages
}

fn check(reason: &str, part: &str) {
    assert!(reason.contains(part), "{reason:?} does not say {part:?}");
}

#[tokio::test]
async fn a_stream_without_its_trailer_is_lost() {
    let (messages, _) = encoded(&[numbers(0, 1000)]);
    let reason = lost_with(messages, Then::End).await;
    check(&reason, "without its trailer");
    check(&lost_with(vec![], Then::End).await, "without its trailer");
}

#[tokio::test]
async fn a_trailer_that_does_not_fit_is_lost() {
    let (messages, trailer) = encoded(&[numbers(0, 1000), numbers(1000, 5)]);
    let wrong = [
        (
            Trailer {
                rows: 1004,
                ..trailer
            },
            "1004 rows, and 1005 came",
        ),
        (
            Trailer {
                batches: 3,
                ..trailer
            },
            "3 batches, and 2 came",
        ),
        (
            Trailer {
                checksum: trailer.checksum ^ 1,
                ..trailer
            },
            "checksum",
        ),
    ];
    for (trailer, part) in wrong {
        check(
            &lost_with(with_trailer(messages.clone(), &trailer), Then::End).await,
            part,
        );
    }
    let mut garbage = messages.clone();
    garbage.push(FlightData {
        app_metadata: Bytes::from_static(b"\x01nonsense"),
        ..FlightData::default()
    });
    check(
        &lost_with(garbage, Then::End).await,
        "trailer that does not decode",
    );
    let mut fewer = messages.clone();
    fewer.pop();
    check(
        &lost_with(with_trailer(fewer, &trailer), Then::End).await,
        "batches",
    );
    let mut more = with_trailer(messages.clone(), &trailer);
    more.push(messages[1].clone());
    check(&lost_with(more, Then::End).await, "after the trailer");
}

#[tokio::test]
async fn messages_out_of_order_or_twice_are_lost() {
    let (messages, trailer) = encoded(&[numbers(0, 3), numbers(3, 3)]);
    let no_schema = with_trailer(messages[1..].to_vec(), &trailer);
    check(
        &lost_with(no_schema, Then::End).await,
        "where the schema should be",
    );
    let only_trailer = with_trailer(vec![], &trailer);
    check(
        &lost_with(only_trailer, Then::End).await,
        "where the schema should be",
    );
    let twice = vec![messages[0].clone(), messages[0].clone()];
    check(&lost_with(twice, Then::End).await, "second schema");
    let swapped = vec![
        messages[0].clone(),
        messages[2].clone(),
        messages[1].clone(),
    ];
    check(
        &lost_with(with_trailer(swapped, &trailer), Then::End).await,
        "checksum",
    );
}

#[tokio::test]
async fn a_changed_byte_in_a_body_is_lost() {
    let (mut messages, trailer) = encoded(&[numbers(0, 1000)]);
    let mut body = messages[1].data_body.to_vec();
    body[4000] ^= 0x10;
    messages[1].data_body = body.into();
    check(
        &lost_with(with_trailer(messages, &trailer), Then::End).await,
        "checksum",
    );
}

#[tokio::test]
async fn a_peer_that_stalls_is_lost_in_bounded_time() {
    let (messages, _) = encoded(&[numbers(0, 1000)]);
    check(&lost_with(messages, Then::Stall).await, "said nothing");
    check(&lost_with(vec![], Then::Stall).await, "said nothing");
}

#[tokio::test]
async fn a_peer_that_fails_is_lost() {
    let (messages, _) = encoded(&[numbers(0, 1000)]);
    for code in [Code::DataLoss, Code::Unavailable, Code::Internal, Code::Ok] {
        lost_with(messages.clone(), Then::Fail(code)).await;
    }
}

/// Strings, lists of offsets and views are where wrong bytes could reach out of a buffer.
fn delicate() -> RecordBatch {
    let words = StringArray::from(vec![
        Some("one"),
        None,
        Some("three, and longer than twelve"),
    ]);
    let views = StringViewArray::from(vec![
        Some("one"),
        None,
        Some("three, and longer than twelve"),
    ]);
    let tiles = BinaryArray::from_opt_vec(vec![Some(&[1, 2, 3]), None, Some(&[4])]);
    let classes: DictionaryArray<Int32Type> =
        vec![Some("a"), None, Some("b")].into_iter().collect();
    RecordBatch::try_from_iter([
        ("words", Arc::new(words) as ArrayRef),
        ("views", Arc::new(views)),
        ("tiles", Arc::new(tiles)),
        ("classes", Arc::new(classes)),
    ])
    .unwrap()
}

/// Every byte of every header and body, changed in two ways, without a checksum to hide behind: an error or a
/// batch, never a panic that leaves the decoder and never more memory than the message.
#[test]
fn no_changed_byte_gets_past_the_decoder_as_a_panic() {
    let (messages, _) = encoded(&[delicate()]);
    let mut refused = 0;
    for (number, message) in messages.iter().enumerate() {
        for (part, bytes) in [(0, &message.data_header), (1, &message.data_body)] {
            for at in 0..bytes.len() {
                for flip in [0x01, 0x80] {
                    let mut wrong = messages.clone();
                    let mut changed = bytes.to_vec();
                    changed[at] ^= flip;
                    match part {
                        0 => wrong[number].data_header = changed.into(),
                        _ => wrong[number].data_body = changed.into(),
                    }
                    let mut decoder = decode::FrameDecoder::new(true);
                    refused += usize::from(wrong.into_iter().any(|message| {
                        let frame = Frame {
                            header: message.data_header,
                            body: message.data_body,
                        };
                        decoder.accept(frame).is_err()
                    }));
                }
            }
        }
    }
    assert!(refused > 500, "only {refused} changes were refused");
}

/// Compressed lengths are taken on trust by the decoder, and deltas grow without end: our writer sends neither.
#[test]
fn features_that_cost_memory_on_trust_are_refused() {
    let lz4 = IpcWriteOptions::default()
        .try_with_compression(Some(CompressionType::LZ4_FRAME))
        .unwrap();
    let deltas = IpcWriteOptions::default().with_dictionary_handling(DictionaryHandling::Delta);
    let words = |words: &[&str]| {
        let column: DictionaryArray<Int32Type> = words.iter().copied().collect();
        RecordBatch::try_from_iter([("words", Arc::new(column) as ArrayRef)]).unwrap()
    };
    let batches = [words(&["a", "b"]), words(&["a", "b", "c"])];
    for (options, part) in [(lz4, "compressed buffers"), (deltas, "delta dictionaries")] {
        let generator = IpcDataGenerator::default();
        let mut tracker = DictionaryTracker::new(false);
        let schema = batches[0].schema();
        let schema =
            generator.schema_to_bytes_with_dictionary_tracker(&schema, &mut tracker, &options);
        let mut messages = vec![schema];
        for batch in &batches {
            let mut context = IpcWriteContext::default();
            let encoded = generator.encode(batch, &mut tracker, &options, &mut context);
            let (dictionaries, batch) = encoded.unwrap();
            messages.extend(dictionaries);
            messages.push(batch);
        }
        let mut decoder = decode::FrameDecoder::new(true);
        let refused = messages.into_iter().find_map(|message| {
            let frame = Frame {
                header: message.ipc_message.into(),
                body: message.arrow_data.into(),
            };
            decoder.accept(frame).err()
        });
        check(&refused.unwrap().to_string(), part);
    }
}

/// Each stream is charged its window, so no more are open than fit, however many are asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_streams_are_open_at_once_than_allowed() {
    let dir = TestDir::new();
    let store = dir.store(64 << 20, 0);
    for partition in 0..30 {
        let mut writer = store
            .writer(key("j", 1, partition), numbers(0, 1).schema())
            .unwrap();
        writer.write(&numbers(0, 10)).unwrap();
        writer.finish().unwrap();
    }
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (seen_open, seen_most) = (Arc::clone(&open), Arc::clone(&most));
    let answer = move |ticket: &Ticket| -> Result<DataStream, Status> {
        let key: PartitionKey = crate::wire::decode(&ticket.ticket).unwrap();
        let now = seen_open.fetch_add(1, Ordering::SeqCst) + 1;
        seen_most.fetch_max(now, Ordering::SeqCst);
        let open = Arc::clone(&seen_open);
        let pieces = store.get(&key).unwrap().pieces();
        // Slow enough that others would overtake it if they were let in.
        let messages = pieces.then(move |piece| {
            let open = Arc::clone(&open);
            async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok(match piece.unwrap() {
                    frame::Piece::Frame(frame) => message(frame),
                    frame::Piece::Trailer(trailer) => {
                        open.fetch_sub(1, Ordering::SeqCst);
                        trailer_data(&trailer).unwrap()
                    }
                })
            }
        });
        Ok(messages.boxed())
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let writer = worker("writer", 1, &listener.local_addr().unwrap().to_string());
    let service = Service::new(answer, Vec::new, None);
    let shutdown = CancellationToken::new();
    let serving = server::serve(listener, service, shutdown.clone(), FlightConfig::default());
    let serving = tokio::spawn(serving);
    let config = FetchConfig {
        bytes_in_flight: 48 << 20,
        ..FetchConfig::default()
    };
    let exchange = FlightExchange::new(dir.store(0, 0), worker("reader", 1, ""), config);
    let reads = stream::iter(0..30).map(|partition| {
        let address = PartitionAddress {
            key: key("j", 1, partition),
            worker: writer.clone(),
        };
        let exchange = &exchange;
        async move {
            exchange
                .fetch(&address)
                .await?
                .try_collect::<Vec<_>>()
                .await
        }
    });
    let reads: Vec<_> = reads.buffer_unordered(30).collect().await;
    for read in reads {
        assert_eq!(counted(&read.unwrap()), 10);
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
    shutdown.cancel();
    drop(exchange);
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn bytes_that_are_no_message_are_lost() {
    for bytes in [
        &b""[..],
        b"\0",
        b"garbage that is no flatbuffer",
        &[0xff; 4096],
    ] {
        let message = FlightData {
            data_header: Bytes::copy_from_slice(bytes),
            data_body: Bytes::from_static(&[1; 100]),
            ..FlightData::default()
        };
        lost_with(vec![message], Then::Stall).await;
    }
}

#[tokio::test]
async fn a_message_past_the_limit_is_refused_before_it_is_read() {
    // The first passes our limit and not that of gRPC, the second passes both.
    let (messages, _) = encoded(&[numbers(0, 1)]);
    for (bytes, part) in [(FRAME_BYTES_MAX, "more than"), (256 << 20, "more than")] {
        let large = FlightData {
            data_body: vec![0; usize::try_from(bytes).unwrap()].into(),
            ..messages[0].clone()
        };
        let reason = lost_within(Duration::from_secs(60), vec![large], Then::End).await;
        check(&reason, part);
    }
}

#[tokio::test]
async fn a_port_that_speaks_no_http_is_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answered = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&answered);
    let garbage = tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let noise: Vec<u8> = (0..100_000_u32)
                .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
                .collect();
            drop(socket.write_all(&noise).await);
        }
    });
    lost_from(&address).await;
    assert!(answered.load(Ordering::SeqCst) >= 1);
    garbage.abort();
}

#[tokio::test]
async fn a_port_that_accepts_and_says_nothing_is_lost_in_bounded_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let read = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&read);
    let silent = tokio::spawn(async move {
        let mut kept = vec![];
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut start = [0; 24];
            drop(socket.read_exact(&mut start).await);
            count.fetch_add(
                usize::from(start.starts_with(b"PRI * HTTP/2")),
                Ordering::SeqCst,
            );
            kept.push(socket);
        }
    });
    check(&lost_from(&address).await, "said nothing");
    assert_eq!(read.load(Ordering::SeqCst), 1);
    silent.abort();
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    check(&lost_from(&address).await, "no connection");
    lost_from("not an address").await;
    check(&lost_from("").await, "serves only its own process");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_in_the_middle_loses_the_partition() {
    let mut rig = flight(1 << 30, 0).await;
    let batches: Vec<_> = (0..20).map(|part| numbers(part << 20, 1 << 20)).collect();
    let partition = key("j", 1, 0);
    let summary = rig.write(&partition, &batches);
    let address = rig.address(&partition);
    let mut stream = rig.exchange.fetch(&address).await.unwrap();
    let first = stream.next().await.unwrap().unwrap();
    let served = rig.served.take().unwrap();
    served.shutdown.cancel();
    served.ended.await.unwrap().unwrap();
    let mut rows = u64::try_from(first.num_rows()).unwrap();
    let error = loop {
        match stream.next().await.unwrap() {
            Ok(batch) => rows += u64::try_from(batch.num_rows()).unwrap(),
            Err(error) => break error,
        }
    };
    assert!(rows < summary.rows, "it died after the end");
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
    assert!(stream.next().await.is_none());
    // And it stays dead.
    rig.expect_lost(&partition).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_came_back_is_found_again() {
    let dir = TestDir::new();
    let store = dir.store(1 << 20, 0);
    let first = serve(&store, Duration::ZERO).await;
    let mut writer = store
        .writer(key("j", 1, 0), numbers(0, 1).schema())
        .unwrap();
    writer.write(&numbers(0, 10)).unwrap();
    writer.finish().unwrap();
    let exchange = FlightExchange::new(
        dir.store(0, 0),
        worker("reader", 1, ""),
        FetchConfig::default(),
    );
    let address = PartitionAddress {
        key: key("j", 1, 0),
        worker: worker("writer", 1, &first.flight),
    };
    let read = || async {
        exchange
            .fetch(&address)
            .await?
            .try_collect::<Vec<_>>()
            .await
    };
    assert_eq!(counted(&read().await.unwrap()), 10);
    first.shutdown.cancel();
    first.ended.await.unwrap().unwrap();
    assert!(read().await.is_err());
    let listener = TcpListener::bind(&first.flight).await.unwrap();
    let shutdown = CancellationToken::new();
    let second = tokio::spawn(FlightServer::serve(
        listener,
        Arc::clone(&store),
        None,
        shutdown.clone(),
        FlightConfig::default(),
    ));
    assert_eq!(counted(&read().await.unwrap()), 10);
    shutdown.cancel();
    second.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_lets_running_streams_end_within_its_grace() {
    let dir = TestDir::new();
    let store = dir.store(1 << 30, 0);
    let served = serve(&store, Duration::from_secs(30)).await;
    let mut writer = store
        .writer(key("j", 1, 0), numbers(0, 1).schema())
        .unwrap();
    for part in 0..8 {
        writer.write(&numbers(part << 20, 1 << 20)).unwrap();
    }
    writer.finish().unwrap();
    let exchange = FlightExchange::new(
        dir.store(0, 0),
        worker("reader", 1, ""),
        FetchConfig::default(),
    );
    let address = PartitionAddress {
        key: key("j", 1, 0),
        worker: worker("writer", 1, &served.flight),
    };
    let mut stream = exchange.fetch(&address).await.unwrap();
    let mut read = vec![stream.next().await.unwrap().unwrap()];
    served.shutdown.cancel();
    read.extend(stream.try_collect::<Vec<_>>().await.unwrap());
    assert_eq!(counted(&read), 8 << 20);
    drop(exchange);
    let ended = tokio::time::timeout(Duration::from_secs(20), served.ended).await;
    ended.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_stay_far_below_the_limit_and_the_rest_of_flight_is_refused() {
    let rig = flight(1 << 30, 0).await;
    rig.write(&key("j", 1, 0), &[numbers(0, 6 << 20)]);
    let flight = format!("http://{}", rig.worker.flight);
    // The limit of a client that sets none: 4 MiB.
    let channel = Endpoint::from_shared(flight)
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut client = FlightServiceClient::new(channel);
    let ticket = |key: &PartitionKey| Ticket {
        ticket: crate::wire::encode(key).unwrap(),
    };
    let messages = client
        .do_get(ticket(&key("j", 1, 0)))
        .await
        .unwrap()
        .into_inner();
    let messages: Vec<_> = messages.try_collect().await.unwrap();
    let sizes = messages
        .iter()
        .map(|message| message.data_header.len() + message.data_body.len());
    assert!(sizes.clone().max().unwrap() < 2 << 20);
    assert!(sizes.sum::<usize>() > 48 << 20);
    let refused = client.do_get(ticket(&key("j", 1, 1))).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let ticket = Ticket {
        ticket: Bytes::from_static(b"\x01\x93nonsense"),
    };
    let refused = client.do_get(ticket).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let refused = client.list_flights(Criteria::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    let actions = client.list_actions(Empty {}).await.unwrap().into_inner();
    let actions: Vec<_> = actions.try_collect().await.unwrap();
    assert_eq!(actions[0].r#type, "health");
    let health = Action {
        r#type: "health".to_owned(),
        body: Bytes::new(),
    };
    let answer = client.do_action(health).await.unwrap().into_inner();
    let answer: Vec<_> = answer.try_collect().await.unwrap();
    let usage: StoreUsage = serde_json::from_slice(&answer[0].body).unwrap();
    assert_eq!(usage, rig.store.usage());
    assert_eq!(usage.partitions, 1);
}

/// Only who asks gets compressed bodies: other clients would not know what to do with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_compressed_for_readers_that_ask() {
    let rig = flight(1 << 30, 0).await;
    let zeros: ArrayRef = Arc::new(Float64Array::from(vec![0.0; 1 << 20]));
    let batch = RecordBatch::try_from_iter([("zero", zeros)]).unwrap();
    rig.write(&key("j", 1, 0), &[batch]);
    let flight = format!("http://{}", rig.worker.flight);
    let endpoint = Endpoint::from_shared(flight).unwrap();
    let mut client = FlightServiceClient::new(endpoint.connect().await.unwrap());
    for (asks, at_most) in [(false, 9 << 20), (true, 100 << 10)] {
        let mut request = tonic::Request::new(Ticket {
            ticket: crate::wire::encode(&key("j", 1, 0)).unwrap(),
        });
        if asks {
            let headers = request.metadata_mut();
            headers.insert("swath-accept-body", "lz4".parse().unwrap());
        }
        let messages = client.do_get(request).await.unwrap().into_inner();
        let messages: Vec<_> = messages.try_collect().await.unwrap();
        let bytes: usize = messages.iter().map(|message| message.data_body.len()).sum();
        assert!(bytes <= at_most, "{bytes} bytes, asked: {asks}");
        assert_eq!(bytes >= 8 << 20, !asks, "{bytes} bytes, asked: {asks}");
    }
}
