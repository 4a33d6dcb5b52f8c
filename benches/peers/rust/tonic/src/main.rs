//! tonic, gRPC for Rust, over a Unix socket; what its generator would write is written by hand.

use std::convert::Infallible;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use procall_bench_load::{Figures, Task, drive, line, touch};
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{Body, BoxFuture, Service, StdError, http};
use tonic::server::{Grpc, NamedService};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

type Failure = Box<dyn std::error::Error>;

/// More than the largest payload.
const MESSAGE: usize = 128 << 20;

#[derive(Clone, PartialEq, prost::Message)]
struct Pair {
    #[prost(int64, tag = "1")]
    a: i64,
    #[prost(int64, tag = "2")]
    b: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Payload {
    #[prost(bytes = "vec", tag = "1")]
    bytes: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Number {
    #[prost(int64, tag = "1")]
    value: i64,
}

#[derive(Clone)]
struct Calc;

impl NamedService for Calc {
    const NAME: &'static str = "bench.Calc";
}

impl<B> Service<http::Request<B>> for Calc
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/bench.Calc/Add" => {
                    let add = service_fn(|pair: Request<Pair>| async move {
                        let Pair { a, b } = pair.into_inner();
                        Ok::<_, Status>(Response::new(Number { value: a + b }))
                    });
                    Grpc::new(ProstCodec::<Number, Pair>::default()).unary(add, request).await
                }
                "/bench.Calc/Touch" => {
                    let touch = service_fn(|payload: Request<Payload>| async move {
                        let value = touch(&payload.into_inner().bytes) as i64;
                        Ok::<_, Status>(Response::new(Number { value }))
                    });
                    Grpc::new(ProstCodec::<Number, Payload>::default())
                        .max_decoding_message_size(MESSAGE)
                        .unary(touch, request)
                        .await
                }
                path => Status::unimplemented(path.to_owned()).into_http(),
            })
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let task = Task::from_args()?;
    if task.serves() {
        let incoming = UnixListenerStream::new(UnixListener::bind(&task.path)?);
        println!("ready");
        return Ok(Server::builder().add_service(Calc).serve_with_incoming(incoming).await?);
    }
    println!("{}", line(&call(&task).await?));
    Ok(())
}

async fn call(task: &Task) -> Result<Figures, Failure> {
    let path = task.path.clone();
    // The address is for HTTP only; the connector goes to the socket.
    let channel = Endpoint::from_static("http://calc")
        .connect_with_connector(service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        }))
        .await?;
    let payload = Payload { bytes: vec![1; task.workload.bytes()] };
    let toucher = channel.clone();
    let add = move |n| {
        let channel = channel.clone();
        async move {
            let sum = unary(channel, "/bench.Calc/Add", Pair { a: n, b: 1 }).await;
            assert_eq!(sum.expect("add answers"), n + 1);
        }
    };
    drive(task, add, || async {
        unary(toucher.clone(), "/bench.Calc/Touch", payload.clone()).await.expect("touch answers");
    })
    .await
}

async fn unary<M>(channel: Channel, path: &'static str, message: M) -> Result<i64, Status>
where
    M: prost::Message + Default + 'static,
{
    let mut grpc = tonic::client::Grpc::new(channel).max_encoding_message_size(MESSAGE);
    grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let codec = ProstCodec::<M, Number>::default();
    let answer = grpc.unary(Request::new(message), PathAndQuery::from_static(path), codec).await?;
    Ok(answer.into_inner().value)
}
