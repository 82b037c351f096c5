//! Writes Flight data as the body of a gRPC answer, without a copy of what was stored.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use arrow_flight::FlightData;
use bytes::{BufMut, Bytes, BytesMut};
use futures::StreamExt;
use http_body::{Body, Frame};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use tonic::Status;
use tonic::codegen::http::HeaderMap;

use super::server::DataStream;
use crate::exchange::frame::u64_of;

/// The fields of Flight data, by their numbers in Flight's protocol.
pub(super) const DATA_HEADER: u32 = 2;
pub(super) const APP_METADATA: u32 = 3;
pub(super) const DATA_BODY: u32 = 1000;

/// A message of gRPC begins with a byte that says whether it is compressed and four that say how long it is.
const PREFIX_BYTES: usize = 5;

/// The messages of one stream, then the status with which it ends.
pub(super) struct DataBody {
    messages: DataStream,
    /// The body of the message whose head is sent.
    body: Bytes,
    ended: bool,
}

impl DataBody {
    pub(super) fn new(messages: DataStream) -> Self {
        Self {
            messages,
            body: Bytes::new(),
            ended: false,
        }
    }

    fn end(&mut self, status: &Status) -> Frame<Bytes> {
        self.ended = true;
        let mut trailers = HeaderMap::new();
        // A status that is no header cannot be said; that it is missing says enough.
        drop(status.add_header(&mut trailers));
        Frame::trailers(trailers)
    }
}

impl Body for DataBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if !self.body.is_empty() {
            let body = std::mem::take(&mut self.body);
            return Poll::Ready(Some(Ok(Frame::data(body))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let head = match ready!(self.messages.poll_next_unpin(cx)) {
            Some(message) => message.and_then(|mut message| {
                self.body = std::mem::take(&mut message.data_body);
                head(&message, self.body.len())
            }),
            None => return Poll::Ready(Some(Ok(self.end(&Status::ok(""))))),
        };
        Poll::Ready(Some(Ok(match head {
            Ok(head) => Frame::data(head),
            Err(status) => {
                self.body = Bytes::new();
                self.end(&status)
            }
        })))
    }
}

/// Encodes all of a message that stands before the bytes of its body.
fn head(message: &FlightData, body_bytes: usize) -> Result<Bytes, Status> {
    let mut length = message.encoded_len();
    if body_bytes > 0 {
        length += key_len(DATA_BODY) + encoded_len_varint(u64_of(body_bytes)) + body_bytes;
    }
    let announced =
        u32::try_from(length).map_err(|_| Status::out_of_range("a message past 4 GiB"))?;
    let mut head = BytesMut::with_capacity(PREFIX_BYTES + length - body_bytes);
    head.put_u8(0);
    head.put_u32(announced);
    message
        .encode(&mut head)
        .map_err(|error| Status::internal(error.to_string()))?;
    if body_bytes > 0 {
        encode_key(DATA_BODY, WireType::LengthDelimited, &mut head);
        encode_varint(u64_of(body_bytes), &mut head);
    }
    Ok(head.freeze())
}

/// Encodes a message of which nothing is large, as gRPC sends it.
pub(super) fn small(message: &impl Message) -> Bytes {
    let message = message.encode_to_vec();
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(&message);
    framed.freeze()
}

/// Decodes the one message of a request.
pub(super) fn decode_small<M: Message + Default>(framed: &[u8]) -> Result<M, Status> {
    let message = match framed.split_first_chunk::<PREFIX_BYTES>() {
        Some(([0, length @ ..], message))
            if u64::from(u32::from_be_bytes(*length)) == u64_of(message.len()) =>
        {
            message
        }
        _ => {
            return Err(Status::invalid_argument(
                "not one uncompressed gRPC message",
            ));
        }
    };
    M::decode(message).map_err(|error| Status::invalid_argument(error.to_string()))
}
