//! What the bytes of a stream may be, in whatever pieces they come: nothing but what was sent gets through.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::{ArrayRef, DictionaryArray, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::Int32Type;
use futures::future::{Ready, ready};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use http_body::Frame;
use http_body_util::StreamBody;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body as TonicBody;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use tonic::server::NamedService;

use super::*;
use crate::exchange::conformance::{TestDir, key, local, worker};
use crate::exchange::flight::body::DataBody;
use crate::exchange::flight::client::piece_of;
use crate::exchange::flight::lz4;
use crate::exchange::flight::server::{data_of, trailer_data};
use crate::exchange::frame::{Note, Trailer};
use crate::exchange::read::batches;
use crate::exchange::{
    Error, Exchange, FetchConfig, FlightExchange, PartitionAddress, PartitionKey,
};
use crate::wire;

fn batch() -> RecordBatch {
    let words: DictionaryArray<Int32Type> = (0..200)
        .map(|n| ["forest", "water", "road"][n % 3])
        .collect();
    let names = StringArray::from_iter((0..200).map(|n| (n % 7 > 0).then(|| format!("name {n}"))));
    let floats = Float64Array::from_iter_values((0..200).map(f64::from));
    RecordBatch::try_from_iter([
        ("class", Arc::new(words) as ArrayRef),
        ("name", Arc::new(names)),
        ("value", Arc::new(floats)),
    ])
    .unwrap()
}

/// The messages of a stored partition, as they are served.
async fn served(compress: bool) -> Vec<FlightData> {
    let rig = local(1 << 20, 0).await;
    let key: PartitionKey = key("j", 1, 0);
    rig.write(&key, &[batch(), batch().slice(5, 100)]);
    let pieces = rig.store.get(&key).unwrap().pieces();
    let mut messages: DataStream = pieces.map(move |piece| data_of(piece, &key)).boxed();
    if compress {
        messages = lz4::compressed(messages);
    }
    messages.try_collect().await.unwrap()
}

type DataStream = BoxStream<'static, Result<FlightData, Status>>;

/// The bytes that go over the wire for messages, without the status at the end.
async fn bytes_of(messages: Vec<FlightData>) -> Vec<u8> {
    let stream = stream::iter(messages.into_iter().map(Ok)).boxed();
    let body = DataBody::new(stream).collect().await.unwrap();
    body.to_bytes().to_vec()
}

type Pieces = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Status>>>;

/// Bytes in pieces that end where `ends` says.
fn in_pieces(bytes: &[u8], mut ends: impl FnMut() -> usize) -> Pieces {
    let (mut left, mut pieces) = (bytes, vec![]);
    while !left.is_empty() {
        let (piece, rest) = left.split_at(ends().min(left.len()));
        pieces.push(Ok(Frame::data(Bytes::copy_from_slice(piece))));
        left = rest;
    }
    StreamBody::new(stream::iter(pieces).boxed())
}

async fn all(body: Pieces) -> Result<Vec<FlightData>, Broken> {
    let mut messages = Messages::new(body);
    let mut read = vec![];
    while let Some(message) = messages.next().await? {
        read.push(message);
    }
    Ok(read)
}

/// Reads a whole partition out of bytes, as a fetch does.
async fn read(bytes: &[u8], ends: impl FnMut() -> usize) -> Result<Vec<RecordBatch>, Error> {
    let address = PartitionAddress {
        key: key("j", 1, 0),
        worker: worker("w", 1, ""),
    };
    let messages = Messages::new(in_pieces(bytes, ends));
    let of = address.clone();
    let pieces = stream::try_unfold(messages, move |mut messages| {
        let of = of.clone();
        async move {
            let lost = |why: &dyn std::error::Error| Error::Lost {
                address: Box::new(of.clone()),
                reason: why.to_string(),
            };
            match messages.next().await.map_err(|why| lost(&why))? {
                None => Ok(None),
                Some(message) => {
                    let piece = piece_of(message).await.map_err(|why| lost(&why))?;
                    Ok(Some((piece, messages)))
                }
            }
        }
    });
    batches(address, pieces.boxed(), true).try_collect().await
}

#[tokio::test]
async fn messages_come_whole_in_whatever_pieces_they_arrive() {
    for compress in [false, true] {
        let messages = served(compress).await;
        let notes = messages.iter().filter(|m| !m.app_metadata.is_empty());
        assert_eq!(notes.count() > 1, compress);
        let bytes = bytes_of(messages.clone()).await;
        let mut random = StdRng::seed_from_u64(11);
        for largest in [1, 2, 7, 100, 5000, 1 << 20] {
            let pieces = in_pieces(&bytes, || random.random_range(0..=largest).max(1));
            assert_eq!(all(pieces).await.unwrap(), messages, "{largest}");
        }
        let expected = [batch(), batch().slice(5, 100)];
        assert_eq!(read(&bytes, || 1000).await.unwrap(), expected);
    }
}

/// Protocol Buffers: fields in any order, those nobody knows, and the last of one field counts.
#[tokio::test]
async fn fields_that_are_not_read_are_skipped() {
    let fields: &[u8] = &[
        0x0a, 2, 8, 1, // a descriptor
        0xc2, 0x3e, 1, 7, // body: 7
        0x20, 0xff, 0x01, // field 4: a varint
        0x29, 1, 2, 3, 4, 5, 6, 7, 8, // field 5: 8 bytes
        0x35, 1, 2, 3, 4, // field 6: 4 bytes
        0x12, 1, 3, // header: 3
        0xc2, 0x3e, 2, 8, 8, // body again: 8, 8
        0x1a, 0, // metadata: none
    ];
    let mut bytes = vec![0, 0, 0, 0, u8::try_from(fields.len()).unwrap()];
    bytes.extend(fields);
    let expected = FlightData::new()
        .with_data_header(vec![3])
        .with_data_body(vec![8, 8]);
    let read = all(in_pieces(&bytes, || 3)).await.unwrap();
    assert_eq!(read, [expected]);
    // The same, read by the library that we do without.
    let theirs: FlightData = prost::Message::decode(fields).unwrap();
    assert_eq!(theirs.data_body, read[0].data_body);
}

#[tokio::test]
async fn lengths_that_lie_are_refused_before_anything_is_allocated() {
    let lies: [(&[u8], &str); 10] = [
        (&[1, 0, 0, 0, 0], "compressed"),
        (&[0, 0xff, 0xff, 0xff, 0xff], "more than"),
        (&[0, 16, 0, 0, 1], "more than"),
        (&[0, 0, 0, 0, 3, 0x12, 2, 1, 1], "no Arrow message"),
        (&[0, 0, 0, 0, 2, 0x12, 0xff, 1], "no Arrow message"),
        (&[0, 0, 0, 0, 1, 0xc2, 0x3e], "no Arrow message"),
        // A group, which nobody has written for twenty years, and a type that there is not.
        (&[0, 0, 0, 0, 1, 0x0b], "no Arrow message"),
        (&[0, 0, 0, 0, 1, 0x0f], "no Arrow message"),
        // A number of eleven bytes.
        (
            &[
                0, 0, 0, 0, 12, 0x20, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 0,
            ],
            "no Arrow message",
        ),
        // A body of 200 MiB, of which three bytes come.
        (
            &[0, 12, 128, 0, 6, 0xc2, 0x3e, 128, 128, 128, 100, 1, 2, 3],
            "inside a message",
        ),
    ];
    for (bytes, part) in lies {
        let error = all(in_pieces(bytes, || 2)).await.unwrap_err().to_string();
        assert!(error.contains(part), "{bytes:?}: {error}");
    }
}

#[tokio::test]
async fn a_stream_that_stops_anywhere_is_no_partition() {
    for compress in [false, true] {
        let bytes = bytes_of(served(compress).await).await;
        assert!(read(&bytes, || 4096).await.is_ok());
        for at in 0..bytes.len() {
            let read = read(&bytes[..at], || 4096).await;
            assert!(read.is_err(), "{at} of {} bytes were enough", bytes.len());
        }
    }
}

/// Bytes changed, left out, doubled and moved. The checksum lets nothing through but what was sent; here it matters
/// that nothing panics and that no claim is believed.
#[tokio::test]
async fn no_mutation_of_a_stream_is_taken_for_the_partition() {
    let expected = [batch(), batch().slice(5, 100)];
    let mut refused = 0;
    for compress in [false, true] {
        let bytes = bytes_of(served(compress).await).await;
        for seed in 0..3000 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut wrong = bytes.clone();
            for _ in 0..random.random_range(1..4) {
                mutate(&mut wrong, &mut random);
            }
            match read(&wrong, || 8192).await {
                Ok(read) => assert_eq!(read, expected, "seed {seed}"),
                Err(Error::Lost { .. }) => refused += 1,
                Err(other) => panic!("seed {seed}: {other}"),
            }
        }
    }
    assert!(refused > 5000, "only {refused} were refused");
}

fn mutate(bytes: &mut Vec<u8>, random: &mut StdRng) {
    let at = random.random_range(0..bytes.len());
    let end = (at + random.random_range(1..64)).min(bytes.len());
    match random.random_range(0..5) {
        0 => bytes[at] ^= 1 << random.random_range(0..8),
        1 => {
            bytes[at] = *[0, 1, 0x7f, 0x80, 0xff]
                .get(random.random_range(0..5))
                .unwrap()
        }
        2 => drop(bytes.drain(at..end)),
        3 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        _ => bytes[at..end].fill(0xff),
    }
}

/// Bodies that claim to be compressed: a bomb, a length that is too short or too long, and garbage.
#[tokio::test]
async fn a_compressed_body_that_lies_is_lost() {
    let zeros = vec![0_u8; 1 << 20];
    let bomb = lz4_flex::block::compress(&zeros);
    let lies: [(u64, &[u8], &str); 6] = [
        (u64::MAX, &bomb, "more than"),
        (1 << 40, &bomb, "more than"),
        (200 << 20, &bomb, "more than"),
        ((1 << 20) - 1, &bomb, "does not decompress"),
        ((1 << 20) + 1, &bomb, "does not decompress"),
        (1000, b"garbage that is no block", "does not decompress"),
    ];
    for (body_bytes, body, part) in lies {
        let message = FlightData::new()
            .with_data_header(vec![1])
            .with_app_metadata(wire::encode(&Note::Lz4 { body_bytes }).unwrap())
            .with_data_body(body.to_vec());
        let bytes = bytes_of(vec![message]).await;
        let error = read(&bytes, || 4096).await.unwrap_err().to_string();
        assert!(error.contains(part), "{body_bytes}: {error}");
    }
}

#[tokio::test]
async fn a_trailer_that_carries_a_frame_is_no_trailer() {
    let trailer = Trailer {
        rows: 0,
        batches: 0,
        checksum: 0,
    };
    let message = trailer_data(&trailer).unwrap().with_data_body(vec![1]);
    let bytes = bytes_of(vec![message]).await;
    assert!(read(&bytes, || 9).await.is_err());
}

#[test]
fn a_status_that_is_no_header_is_not_taken_apart() {
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status", HeaderValue::from_static("13"));
    headers.insert("grpc-message", HeaderValue::from_static("%ff%fe"));
    headers.insert("grpc-status-details-bin", HeaderValue::from_static("!"));
    assert!(expect_ok(headers).is_err());
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status", HeaderValue::from_static("zero"));
    assert!(expect_ok(headers).is_err());
}

/// A peer that answers `DoGet` with a status and bytes, and then says nothing.
#[derive(Clone)]
struct RawPeer {
    status: StatusCode,
    bytes: Bytes,
    asked: Arc<AtomicUsize>,
}

impl NamedService for RawPeer {
    const NAME: &'static str = "arrow.flight.protocol.FlightService";
}

impl Service<Request<TonicBody>> for RawPeer {
    type Response = Response<TonicBody>;
    type Error = Infallible;
    type Future = Ready<Result<Response<TonicBody>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<TonicBody>) -> Self::Future {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let first = stream::iter([Ok::<_, Status>(Frame::data(self.bytes.clone()))]);
        let body = StreamBody::new(first.chain(stream::pending()));
        let mut response = Response::new(TonicBody::new(body));
        *response.status_mut() = self.status;
        ready(Ok(response))
    }
}

#[tokio::test]
async fn a_peer_that_stops_inside_a_message_or_is_no_flight_server_is_lost_in_time() {
    let bytes = bytes_of(served(false).await).await;
    let inside = Bytes::from(bytes[..bytes.len() / 2].to_vec());
    let cases = [
        (StatusCode::OK, inside, "said nothing"),
        (
            StatusCode::OK,
            Bytes::from_static(&[0, 0, 0]),
            "said nothing",
        ),
        (StatusCode::OK, Bytes::from_static(b"<html>"), "compressed"),
        (
            StatusCode::NOT_FOUND,
            Bytes::from_static(b"<html>"),
            "HTTP 404",
        ),
    ];
    for (status, bytes, part) in cases {
        let asked = Arc::new(AtomicUsize::new(0));
        let peer = RawPeer {
            status,
            bytes,
            asked: Arc::clone(&asked),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let flight = listener.local_addr().unwrap().to_string();
        let server = tonic::transport::Server::builder().add_service(peer);
        let serving = tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let dir = TestDir::new();
        let config = FetchConfig {
            idle_timeout: Duration::from_millis(500),
            ..FetchConfig::default()
        };
        let exchange = FlightExchange::new(dir.store(0, 0), worker("reader", 9, ""), config);
        let address = PartitionAddress {
            key: key("j", 1, 0),
            worker: worker("writer", 1, &flight),
        };
        let fetch = async {
            exchange
                .fetch(&address)
                .await?
                .try_collect::<Vec<_>>()
                .await
        };
        let read = tokio::time::timeout(Duration::from_secs(10), fetch).await;
        let error = read.expect("it hangs").unwrap_err();
        assert!(matches!(error, Error::Lost { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert!(asked.load(Ordering::SeqCst) >= 1);
        serving.abort();
    }
}
