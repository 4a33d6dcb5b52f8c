//! Who the two peers are and which version they speak.

use super::Config;
use super::assembly::MIN_CHUNK;
use super::event::PeerInfo;
use super::secrets::same;
use crate::message::{VERSION, VERSION_MIN};
use crate::wire::{Reader, WireError, Writer};
use crate::{ErrorCode, Fault, Limits};

/// Longest text kept of what a peer says about itself, in bytes.
const MAX_TEXT: usize = 256;
/// Longest name of a peer, in bytes.
const MAX_NAME: usize = 128;
/// Most features kept.
const MAX_FEATURES: usize = 64;

/// Room that a message needs besides a part of a body: the longest header, metadata included.
pub(super) const HEADER_ROOM: usize = 20 << 10;
/// A peer that takes shorter messages than this cannot take part.
const MIN_MESSAGE: usize = 32 << 10;

/// A name as people may be shown it: without control characters and those that change the direction of what follows, 128 bytes at most.
///
/// Names of peers are cleaned on both sides, because they end up in logs and on terminals.
///
/// ```
/// use procall_proto::clean_name;
///
/// assert_eq!(clean_name(" night\u{1b}[31mly\u{202e} "), "night[31mly");
/// assert_eq!(clean_name(&"é".repeat(100)).len(), 128);
/// ```
pub fn clean_name(name: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = name.chars().filter(|&c| !c.is_control() && !turns(c));
    let mut clean = String::new();
    // What is taken is bounded before it is kept: a name may be long.
    for c in shown.skip_while(|c| c.is_whitespace()) {
        if clean.len() + c.len_utf8() > MAX_NAME {
            break;
        }
        clean.push(c);
    }
    clean.truncate(clean.trim_end().len());
    clean
}

/// Appends the info map of hello and welcome.
pub(super) fn write_info(config: &Config, with_token: bool, out: &mut Vec<u8>) {
    let limits = &config.limits;
    let mut writer = Writer::new(out);
    let token = config.token.as_deref().filter(|_| with_token);
    let compression = config.compression.then_some(super::packing::FEATURE);
    let features = config.features.len() + usize::from(compression.is_some());
    let marked = !config.mark.is_empty();
    let optional = [token.is_some(), !config.want.is_empty(), features > 0, marked];
    writer.map(9 + optional.into_iter().filter(|there| *there).count());
    writer.text("peer").text(&config.id).text("name").text(&clean_name(&config.name));
    writer.text("runtime").text(&config.runtime).text("pid").uint(config.pid.into());
    writer.text("chunk").uint(limits.chunk as u64);
    writer.text("max_message").uint(limits.max_message as u64);
    writer.text("max_calls").uint(limits.max_calls as u64);
    writer.text("stream_items").uint(limits.stream_items.into());
    writer.text("stream_bytes").uint(limits.stream_bytes.into());
    if !config.want.is_empty() {
        writer.text("want").text(&config.want);
    }
    if features > 0 {
        writer.text("features").array(features);
        for feature in config.features.iter().map(String::as_str).chain(compression) {
            writer.text(feature);
        }
    }
    if marked {
        writer.text("mark").text(&config.mark);
    }
    if let Some(token) = token {
        writer.text("token").bin(token);
    }
}

/// Reads an info map; unknown keys are skipped, missing ones have the defaults of the specification.
pub(super) fn read_info(bytes: &[u8]) -> Result<(PeerInfo, Option<&[u8]>), WireError> {
    let defaults = Limits::default();
    let mut info = PeerInfo {
        version: VERSION,
        id: String::new(),
        mark: String::new(),
        name: String::new(),
        runtime: String::new(),
        pid: 0,
        want: String::new(),
        features: Vec::new(),
        chunk: defaults.chunk,
        max_message: defaults.max_message,
        max_calls: defaults.max_calls,
        stream_items: defaults.stream_items,
        stream_bytes: defaults.stream_bytes,
        secret: None,
    };
    let mut token = None;
    let mut reader = Reader::new(bytes);
    let mut seen: Vec<&str> = Vec::new();
    for _ in 0..reader.map()? {
        let key = reader.text("a key of the info map")?;
        if seen.contains(&key) {
            return Err(WireError::Expected("each key of the info map once"));
        }
        seen.push(key);
        match key {
            "peer" => info.id = short(&mut reader)?,
            "mark" => info.mark = short(&mut reader)?,
            "name" => info.name = clean_name(&short(&mut reader)?),
            "want" => info.want = short(&mut reader)?,
            "runtime" => info.runtime = short(&mut reader)?,
            "pid" => info.pid = reader.uint32("the process id")?,
            "chunk" => info.chunk = size(&mut reader, "the chunk size")?,
            "max_message" => info.max_message = size(&mut reader, "the message limit")?,
            "max_calls" => info.max_calls = size(&mut reader, "the call limit")?,
            "stream_items" => info.stream_items = reader.uint32("the stream window in items")?,
            "stream_bytes" => info.stream_bytes = reader.uint32("the stream window in bytes")?,
            "features" => {
                for _ in 0..reader.array()? {
                    let feature = short(&mut reader)?;
                    if info.features.len() < MAX_FEATURES {
                        info.features.push(feature);
                    }
                }
            }
            "token" => token = Some(reader.bin("the token")?),
            _ => _ = reader.skip()?,
        }
    }
    if !reader.rest().is_empty() {
        return Err(WireError::Expected("nothing behind the info map"));
    }
    if info.max_message < MIN_MESSAGE {
        return Err(WireError::Range("the message limit: at least 32 KiB"));
    }
    if info.chunk < MIN_CHUNK {
        return Err(WireError::Range("the chunk size: at least 256"));
    }
    Ok((info, token))
}

fn short(reader: &mut Reader<'_>) -> Result<String, WireError> {
    let text = reader.text("a text")?;
    if text.len() > MAX_TEXT {
        return Err(WireError::Range("a text of at most 256 bytes"));
    }
    Ok(text.to_owned())
}

fn size(reader: &mut Reader<'_>, what: &'static str) -> Result<usize, WireError> {
    usize::try_from(reader.uint(what)?).map_err(|_| WireError::Range(what))
}

/// The version to speak with a peer that speaks `min..=max`.
pub(super) fn choose_version(min: u64, max: u64) -> Result<u64, Fault> {
    let version = max.min(VERSION);
    if version < min || version < VERSION_MIN {
        return Err(Fault::new(
            ErrorCode::VersionMismatch,
            format!(
                "this side speaks protocol {VERSION_MIN} to {VERSION}, the peer {min} to {max}: update the older of the two"
            ),
        ));
    }
    Ok(version)
}

/// Whether the peer may come in; which of several secrets it has shown.
pub(super) fn check_token(config: &Config, given: Option<&[u8]>) -> Result<Option<usize>, Fault> {
    let refused = |message| Fault::new(ErrorCode::Unauthenticated, message);
    let needed = config.token.is_some() || config.secrets.are_needed();
    let Some(given) = given else {
        return if needed { Err(refused("a token is needed")) } else { Ok(None) };
    };
    if config.token.as_deref().is_some_and(|expected| !same(expected, given)) {
        return Err(refused("the token is wrong"));
    }
    match config.secrets.find(given) {
        None if !config.secrets.is_empty() => Err(refused("the token is wrong")),
        found => Ok(found),
    }
}
