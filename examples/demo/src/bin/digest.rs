//! The Rust worker: hashes and counts.

use procall::{Bytes, Service};
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

#[derive(Serialize, JsonSchema)]
struct Digest {
    sha256: String,
    bytes: u64,
    lines: u64,
    words: u64,
}

fn digest(content: Bytes) -> Digest {
    let Bytes(content) = content;
    let text = String::from_utf8_lossy(&content);
    Digest {
        sha256: Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect(),
        bytes: content.len() as u64,
        lines: text.lines().count() as u64,
        words: text.split_whitespace().count() as u64,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), procall::Error> {
    let service = Service::new("digest")
        .method("digest", digest)
        .params("digest", &["content"])
        .idempotent("digest");
    service.run().await
}
