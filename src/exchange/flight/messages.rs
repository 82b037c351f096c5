//! Reads the messages of a gRPC stream of Flight data.
//!
//! A general client copies each message twice: into a buffer of its own, where bodies begin anywhere, and from
//! there to where Arrow can use them. This one copies a body once, from the frames of HTTP/2 into a buffer of
//! its size, and trusts no length before it is checked.

use arrow_flight::FlightData;
use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use tonic::codegen::http::HeaderMap;
use tonic::{Code, Status};

use super::body::{APP_METADATA, DATA_BODY, DATA_HEADER};
use crate::exchange::buffers::Buffers;
use crate::exchange::decode::{Corrupt, within};
use crate::exchange::frame::MESSAGE_BYTES_MAX;

/// Why there is no next message.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Status(#[from] Box<Status>),
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

/// The messages of one stream; nothing is read before it is asked for.
pub(super) struct Messages<B> {
    body: B,
    chunk: Bytes,
    buffers: Buffers,
    ended: bool,
}

impl<B: Body<Data = Bytes, Error = Status> + Unpin> Messages<B> {
    pub(super) fn new(body: B) -> Self {
        Self {
            body,
            chunk: Bytes::new(),
            buffers: Buffers::default(),
            ended: false,
        }
    }

    /// Returns the next message, or nothing when the stream has ended well.
    pub(super) async fn next(&mut self) -> Result<Option<FlightData>, Broken> {
        if !self.fill().await? {
            return Ok(None);
        }
        let mut prefix = [0; 5];
        for byte in &mut prefix {
            *byte = self.byte().await?;
        }
        let [compressed, length @ ..] = prefix;
        if compressed != 0 {
            return Err(Corrupt::Feature("compressed gRPC messages").into());
        }
        let mut left = u64::from(u32::from_be_bytes(length));
        within(left, MESSAGE_BYTES_MAX)?;
        let mut message = FlightData::default();
        while left > 0 {
            self.field(&mut left, &mut message).await?;
        }
        Ok(Some(message))
    }

    /// Reads a field of the message, of which `left` bytes are left; skips those that nobody here reads.
    async fn field(&mut self, left: &mut u64, message: &mut FlightData) -> Result<(), Broken> {
        let key = self.varint(left).await?;
        match (key >> 3, key & 7) {
            (field, 2) => {
                let length = self.varint(left).await?;
                let bytes = self.bytes(take(left, length)?).await?;
                match u32::try_from(field) {
                    Ok(DATA_HEADER) => message.data_header = bytes,
                    Ok(APP_METADATA) => message.app_metadata = bytes,
                    Ok(DATA_BODY) => message.data_body = bytes,
                    _ => {}
                }
            }
            (_, 0) => drop(self.varint(left).await?),
            (_, 1) => drop(self.bytes(take(left, 8)?).await?),
            (_, 5) => drop(self.bytes(take(left, 4)?).await?),
            _ => return Err(Corrupt::Message.into()),
        }
        Ok(())
    }

    async fn varint(&mut self, left: &mut u64) -> Result<u64, Broken> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            take(left, 1)?;
            let byte = u64::from(self.byte().await?);
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Corrupt::Message.into())
    }

    /// Copies bytes into a buffer of their own, which the system's allocator aligns as Arrow needs it.
    async fn bytes(&mut self, length: usize) -> Result<Bytes, Broken> {
        let mut bytes = self.buffers.take(length);
        while bytes.len() < length {
            self.expect().await?;
            let part = self.chunk.len().min(length - bytes.len());
            bytes.extend_from_slice(&self.chunk.split_to(part));
        }
        Ok(self.buffers.lend(bytes))
    }

    async fn byte(&mut self) -> Result<u8, Broken> {
        self.expect().await?;
        let byte = self.chunk.split_to(1);
        byte.first()
            .copied()
            .ok_or_else(|| Corrupt::CutMessage.into())
    }

    /// Waits for bytes that must come.
    async fn expect(&mut self) -> Result<(), Broken> {
        if self.fill().await? {
            return Ok(());
        }
        Err(Corrupt::CutMessage.into())
    }

    /// Waits for bytes; says whether there are more.
    async fn fill(&mut self) -> Result<bool, Broken> {
        while self.chunk.is_empty() && !self.ended {
            match self.body.frame().await.transpose().map_err(Box::new)? {
                None => self.ended = true,
                Some(frame) => match frame.into_data() {
                    Ok(chunk) => self.chunk = chunk,
                    Err(frame) => {
                        self.ended = true;
                        if let Ok(trailers) = frame.into_trailers() {
                            expect_ok(trailers)?;
                        }
                    }
                },
            }
        }
        Ok(!self.chunk.is_empty())
    }
}

/// Takes the status out of headers; one that is not there counts as well.
pub(super) fn expect_ok(mut headers: HeaderMap) -> Result<(), Box<Status>> {
    // What is no base64 makes tonic panic, and nobody here reads it.
    headers.remove(Status::GRPC_STATUS_DETAILS);
    match Status::from_header_map(&headers) {
        Some(status) if status.code() != Code::Ok => Err(Box::new(status)),
        _ => Ok(()),
    }
}

fn take(left: &mut u64, bytes: u64) -> Result<usize, Corrupt> {
    *left = left.checked_sub(bytes).ok_or(Corrupt::Message)?;
    usize::try_from(bytes).map_err(|_| Corrupt::Message)
}

#[cfg(test)]
mod tests;
