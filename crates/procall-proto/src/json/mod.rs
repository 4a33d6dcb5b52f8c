//! The JSON form of the protocol, for peers that speak nothing else.
//!
//! - [`to_json`] and [`from_json`] turn bodies from MessagePack into JSON and back, exactly or not at all.
//! - [`encode`] and [`decode`] do the same for whole messages.
//!
//! JSON lacks three things that bodies have, so an object whose only key begins with `$` stands for them:
//!
//! | value | JSON |
//! |---|---|
//! | bytes | `{"$bytes": "AAE="}` (base64 with padding) |
//! | typed buffer | `{"$tensor": {"dtype": "float32", "shape": [1], "data": "AACAPw=="}}` (C order, little-endian) |
//! | a user's own key `$x` | `"$$x"`: one more `$` than it has |
//!
//! ```
//! use procall_proto::json;
//!
//! let body = json::from_json(br#"[1, 2.0, {"$bytes": "AAE="}]"#).unwrap();
//! assert_eq!(body, [0x93, 1, 0xcb, 0x40, 0, 0, 0, 0, 0, 0, 0, 0xc4, 2, 0, 1]);
//! assert_eq!(json::to_json(&body).unwrap(), br#"[1,2.0,{"$bytes":"AAE="}]"#);
//! ```

mod error;
mod fields;
mod from_json;
mod keys;
mod message;
mod message_read;
mod message_write;
mod outline;
mod text;
mod to_json;
mod tokens;

pub use error::JsonError;
pub use from_json::from_json;
pub use message::{JsonId, JsonMessage};
pub use message_read::decode;
pub use message_write::{Spelling, Style, encode, encode_with};
pub use outline::Outline;
pub use to_json::to_json;

/// The JSON key that stands for bytes.
const BYTES: &str = "$bytes";
/// The JSON key that stands for a typed buffer.
const TENSOR: &str = "$tensor";
