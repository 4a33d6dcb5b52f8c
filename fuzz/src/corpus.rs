//! Where fuzzing starts.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What earlier runs found worth keeping, for a target: `fuzz/corpus/NAME.hex`, one input a line. None of it is no mistake.
pub fn corpus(target: &str) -> io::Result<Vec<Vec<u8>>> {
    let path = Path::new(ROOT).join(format!("fuzz/corpus/{target}.hex"));
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().filter_map(unhex).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Inputs made of the golden vectors, and of what users write.
pub fn seeds(target: &str) -> io::Result<Vec<Vec<u8>>> {
    let mut seeds = vec![Vec::new()];
    match target {
        "link" => {
            seeds.extend(hexes("frames", "hex")?.iter().map(|one| [&[7], &*framed(one)].concat()))
        }
        "message" => {
            seeds.extend(hexes("frames", "hex")?);
            seeds.extend(hexes("frames_bad", "hex")?);
            seeds.extend(hexes("packed", "hex")?);
        }
        "session" => {
            for file in ["frames", "frames_bad", "packed"] {
                for message in hexes(file, "hex")? {
                    // With and without a handshake, to either side.
                    seeds.extend([0, 1, 3].map(|start| [&[start, 0], &*pieced(&message)].concat()));
                    seeds.push([&[1, 1], &*pieced(&message)].concat());
                }
            }
        }
        "body" => {
            seeds.extend(hexes("bodies", "hex")?);
            seeds.extend(hexes("bodies_bad", "hex")?);
        }
        "json_body" => seeds.extend(texts("bodies", "json")?),
        "json" => seeds.extend(texts("json_messages", "json")?),
        "buffer" => seeds.extend(hexes("buffers", "payload")?),
        "schema" => {
            let schemas = fs::read_to_string(Path::new(ROOT).join("fuzz/seeds/schemas.json"))?;
            let schemas: Vec<Value> = serde_json::from_str(&schemas)?;
            let values = ["null", r#"{"a":2,"b":3}"#, r#"[1,"two"]"#, r#""abab""#, "-4e300"];
            for schema in schemas {
                seeds.extend(values.map(|value| format!("{schema}\0{value}").into_bytes()));
            }
        }
        "config" => seeds.push(fs::read(Path::new(ROOT).join("fuzz/seeds/procall.toml"))?),
        "engine" => {
            seeds.extend(hexes("frames", "hex")?.iter().map(|one| [&[0], &*framed(one)].concat()));
            for json in texts("json_messages", "json")? {
                seeds.push([&[0], &*framed(&json)].concat());
                seeds.push([http("POST", "/rpc", json.len()), json].concat());
            }
            seeds.push(http("GET", "/openapi.json", 0));
            seeds.push([http("POST", "/v1/call/procall.engine.peers", 2), b"[]".to_vec()].concat());
            seeds.push(
                b"\x01GET /ws HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                  sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n\x81\x82\0\0\0\0{}"
                    .to_vec(),
            );
        }
        _ => {}
    }
    Ok(seeds)
}

/// A request to the engine's address for HTTP.
fn http(method: &str, path: &str, len: usize) -> Vec<u8> {
    format!("\x01{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len}\r\n\r\n")
        .into_bytes()
}

/// As a message lies on a link.
fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_be_bytes(), message].concat()
}

fn pieced(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_le_bytes(), message].concat()
}

fn unhex(line: &str) -> Option<Vec<u8>> {
    let line = line.as_bytes();
    let pairs = line.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
    pairs.collect()
}

fn hexes(file: &str, key: &str) -> io::Result<Vec<Vec<u8>>> {
    Ok(texts(file, key)?.iter().filter_map(|hex| unhex(str::from_utf8(hex).ok()?)).collect())
}

/// The texts under a key; long ones, in parts, are put together.
fn texts(file: &str, key: &str) -> io::Result<Vec<Vec<u8>>> {
    /// Longer ones would make every run slow.
    const MAX: usize = 4 << 10;
    let path = Path::new(ROOT).join(format!("spec/vectors/{file}.json"));
    let entries: Vec<Value> = serde_json::from_str(&fs::read_to_string(path)?)?;
    let texts = entries.iter().filter_map(|entry| match entry.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => parts.iter().map(part).collect(),
        _ => None,
    });
    Ok(texts.filter(|text| text.len() <= MAX).map(String::into_bytes).collect())
}

/// A part is a text, or one and how often.
fn part(part: &Value) -> Option<String> {
    match part {
        Value::String(text) => Some(text.clone()),
        Value::Array(repeated) => {
            let times = usize::try_from(repeated.get(1)?.as_u64()?).ok()?;
            Some(repeated.first()?.as_str()?.repeat(times.min(64 << 10)))
        }
        _ => None,
    }
}
