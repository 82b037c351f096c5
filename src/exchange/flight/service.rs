//! The part of Flight that a worker speaks: `DoGet` of partitions, where the partitions of a result are, and health.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use futures::stream::{self, BoxStream, StreamExt};
use http_body_util::{BodyExt, Limited};
use tonic::body::Body;
use tonic::codegen::http::{HeaderValue, Request as HttpRequest, Response as HttpResponse, header};
use tonic::codegen::{BoxFuture, Service as TowerService};
use tonic::server::NamedService;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::body::{DataBody, decode_small};
use super::lz4;
use super::server::{DO_GET, DataStream};
use crate::exchange::{PartitionAddress, ResultDirectory, TableResult};
use crate::ids::JobId;
use crate::job::failure::chain;
use crate::wire;

/// The longest request taken: tickets are under 200 bytes.
const REQUEST_BYTES_MAX: usize = 64 << 10;

type Open = dyn Fn(&Ticket) -> Result<DataStream, Status> + Send + Sync;

/// What a Flight server answers with.
#[derive(Clone)]
pub(in crate::exchange) struct Service {
    open: Arc<Open>,
    health: Arc<dyn Fn() -> Vec<u8> + Send + Sync>,
    results: Option<Arc<dyn ResultDirectory>>,
}

impl Service {
    /// Makes a service: `open` answers a ticket, `health` the health action.
    pub(in crate::exchange) fn new(
        open: impl Fn(&Ticket) -> Result<DataStream, Status> + Send + Sync + 'static,
        health: impl Fn() -> Vec<u8> + Send + Sync + 'static,
        results: Option<Arc<dyn ResultDirectory>>,
    ) -> Self {
        Self {
            open: Arc::new(open),
            health: Arc::new(health),
            results,
        }
    }

    async fn do_get(&self, request: HttpRequest<Body>) -> Result<Body, Status> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, REQUEST_BYTES_MAX).collect().await;
        let framed = body.map_err(Status::from_error)?.to_bytes();
        let mut messages = (self.open)(&decode_small(&framed)?)?;
        if lz4::is_asked_for(&head.headers) {
            messages = lz4::compressed(messages);
        }
        Ok(Body::new(DataBody::new(messages)))
    }

    async fn result(&self, descriptor: &FlightDescriptor) -> Result<TableResult, Status> {
        let Some(results) = &self.results else {
            return not_offered("results of jobs");
        };
        let job = job_of(descriptor)?;
        let result = results.result(&job).await;
        result
            .map_err(|error| Status::unavailable(chain(&error)))?
            .ok_or_else(|| Status::not_found(format!("job {job} has no table to fetch")))
    }
}

/// Answers `DoGet` itself, without the copies that tonic makes, and leaves the rest to it.
#[derive(Clone)]
pub(super) struct Front {
    service: Service,
    rest: FlightServiceServer<Service>,
}

impl Front {
    pub(super) fn new(service: Service) -> Self {
        let rest = FlightServiceServer::new(service.clone());
        Self {
            service,
            rest: rest.max_decoding_message_size(REQUEST_BYTES_MAX),
        }
    }
}

impl NamedService for Front {
    const NAME: &'static str = <FlightServiceServer<Service> as NamedService>::NAME;
}

impl TowerService<HttpRequest<Body>> for Front {
    type Response = HttpResponse<Body>;
    type Error = Infallible;
    type Future = BoxFuture<HttpResponse<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<Body>) -> Self::Future {
        if request.uri().path() != DO_GET {
            return self.rest.call(request);
        }
        let service = self.service.clone();
        Box::pin(async move {
            Ok(match service.do_get(request).await {
                Ok(body) => {
                    let mut response = HttpResponse::new(body);
                    let grpc = HeaderValue::from_static("application/grpc");
                    response.headers_mut().insert(header::CONTENT_TYPE, grpc);
                    response
                }
                Err(status) => status.into_http(),
            })
        })
    }
}

/// Takes the job's id out of a descriptor: its path or its command.
fn job_of(descriptor: &FlightDescriptor) -> Result<JobId, Status> {
    let named = match &descriptor.path[..] {
        [job] => Some(job.as_str()),
        [] => std::str::from_utf8(&descriptor.cmd).ok(),
        _ => None,
    };
    named
        .and_then(|job| JobId::new(job).ok())
        .ok_or_else(|| Status::invalid_argument("a path or a command that is the id of a job"))
}

/// Says where a part is: with the worker that holds it, or here when that worker has no address.
fn endpoint(part: &PartitionAddress) -> Result<FlightEndpoint, Status> {
    let ticket = wire::encode(&part.key).map_err(|error| Status::internal(chain(&error)))?;
    let endpoint = FlightEndpoint::new().with_ticket(Ticket { ticket });
    Ok(match part.worker.flight.as_str() {
        "" => endpoint,
        flight => endpoint.with_location(format!("grpc://{flight}")),
    })
}

fn schema_failed(error: impl std::error::Error) -> Status {
    Status::internal(chain(&error))
}

type Answer<T> = Result<Response<T>, Status>;
type AnswerStream<T> = BoxStream<'static, Result<T, Status>>;

fn not_offered<T>(what: &str) -> Result<T, Status> {
    Err(Status::unimplemented(format!(
        "this Swath process does not offer {what}; it offers DoGet of partitions and the action 'health'"
    )))
}

#[async_trait]
impl FlightService for Service {
    type HandshakeStream = AnswerStream<HandshakeResponse>;
    type ListFlightsStream = AnswerStream<FlightInfo>;
    type DoGetStream = DataStream;
    type DoPutStream = AnswerStream<PutResult>;
    type DoExchangeStream = AnswerStream<FlightData>;
    type DoActionStream = AnswerStream<arrow_flight::Result>;
    type ListActionsStream = AnswerStream<ActionType>;

    async fn do_get(&self, _: Request<Ticket>) -> Answer<DataStream> {
        Err(Status::internal("DoGet is answered before it comes here"))
    }

    /// Answers with one endpoint for each part, in the order of the rows.
    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Answer<FlightInfo> {
        let descriptor = request.into_inner();
        let result = self.result(&descriptor).await?;
        let endpoints = result.parts.iter().map(endpoint);
        let info = FlightInfo::new()
            .try_with_schema(&result.schema)
            .map_err(schema_failed)?
            .with_endpoints(endpoints.collect::<Result<_, _>>()?)
            .with_descriptor(descriptor)
            .with_total_records(i64::try_from(result.rows).unwrap_or(i64::MAX))
            .with_total_bytes(i64::try_from(result.bytes).unwrap_or(i64::MAX))
            .with_ordered(true);
        Ok(Response::new(info))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Answer<SchemaResult> {
        let result = self.result(request.get_ref()).await?;
        let info = FlightInfo::new().try_with_schema(&result.schema);
        let schema = info.map_err(schema_failed)?.schema;
        Ok(Response::new(SchemaResult { schema }))
    }

    /// Answers `health` with the usage of the store, as JSON.
    async fn do_action(&self, request: Request<Action>) -> Answer<Self::DoActionStream> {
        if request.get_ref().r#type != "health" {
            return not_offered("this action");
        }
        let body = (self.health)().into();
        let answer = Ok(arrow_flight::Result { body });
        Ok(Response::new(stream::iter([answer]).boxed()))
    }

    async fn list_actions(&self, _: Request<Empty>) -> Answer<Self::ListActionsStream> {
        let health = ActionType {
            r#type: "health".to_owned(),
            description: "what the partition store holds, as JSON".to_owned(),
        };
        Ok(Response::new(stream::iter([Ok(health)]).boxed()))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Answer<Self::HandshakeStream> {
        not_offered("Handshake")
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Answer<Self::ListFlightsStream> {
        not_offered("ListFlights")
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Answer<PollInfo> {
        not_offered("PollFlightInfo")
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Answer<Self::DoPutStream> {
        not_offered("DoPut")
    }

    async fn do_exchange(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Answer<Self::DoExchangeStream> {
        not_offered("DoExchange")
    }
}
