//! What a call's options say to routers on the way: which worker is to get it, and as which call it counts. The wire has it among the metadata.

use std::borrow::Cow;

use procall_proto::wire::Writer;

use super::CallOptions;
use crate::chain::Chain;
use crate::error::Error;
use crate::meta;

/// What one option says.
enum Wish<'a> {
    Text(&'a str),
    True,
    Chain(&'a Chain),
}

/// The metadata map with the options `to`, `key`, `version`, `wait` and `idempotency_key` in it, and the chain; entries of these names that were
/// there give way.
pub(super) fn meta<'a>(
    options: &'a CallOptions,
    chain: Option<&Chain>,
) -> Result<Cow<'a, [u8]>, Error> {
    let CallOptions { to, key, version, wait, idempotency_key, .. } = options;
    if !wait
        && chain.is_none()
        && [to, key, version, idempotency_key].into_iter().all(Option::is_none)
    {
        return Ok(Cow::Borrowed(&options.meta));
    }
    let texts =
        [("to", to), ("key", key), ("version", version), ("idempotency_key", idempotency_key)];
    let mut wishes: Vec<(&str, Wish<'_>)> = texts
        .into_iter()
        .filter_map(|(name, wish)| Some((name, Wish::Text(wish.as_deref()?))))
        .collect();
    if *wait {
        wishes.push(("wait", Wish::True));
    }
    if let Some(chain) = chain {
        wishes.push(("chain", Wish::Chain(chain)));
    }
    let kept =
        meta::others(&options.meta, |name| wishes.iter().any(|(taken, _)| *taken == name))
            .map_err(|error| Error::invalid(format!("the metadata is no map of texts: {error}")))?;
    let mut bytes = Vec::with_capacity(options.meta.len() + 64);
    let mut writer = Writer::new(&mut bytes);
    writer.map(kept.len() + wishes.len());
    for (name, wish) in wishes {
        match wish {
            Wish::Text(text) => writer.text(name).text(text),
            Wish::True => writer.text(name).boolean(true),
            Wish::Chain(chain) => {
                chain.write(writer.text(name));
                &mut writer
            }
        };
    }
    for (name, value) in kept {
        writer.text(name).raw(value);
    }
    Ok(Cow::Owned(bytes))
}

/// The options `to` and `key` that a metadata map brought.
#[cfg(feature = "tokio")]
pub(crate) fn of(meta: &[u8]) -> (Option<&str>, Option<&str>) {
    (meta::text(meta, "to"), meta::text(meta, "key"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn joined(meta: &Value, to: Option<&str>, key: Option<&str>) -> Value {
        let meta_bytes = crate::codec::encode(meta).unwrap();
        let options = CallOptions {
            meta: meta_bytes,
            to: to.map(Into::into),
            key: key.map(Into::into),
            ..CallOptions::default()
        };
        let bytes = meta_of(&options);
        crate::codec::decode(procall_proto::Encoding::Msgpack, &bytes).unwrap()
    }

    fn meta_of(options: &CallOptions) -> Vec<u8> {
        meta(options, None).unwrap().into_owned()
    }

    #[test]
    fn wishes_join_what_is_there() {
        let there = json!({"traceparent": "00-1", "deep": {"a": [1, null]}});
        assert_eq!(joined(&there, None, None), there);
        let both = json!({"traceparent": "00-1", "deep": {"a": [1, null]}, "key": "k"});
        assert_eq!(joined(&there, None, Some("k")), both);
        assert_eq!(
            joined(&json!({"to": 7}), Some("calc/2"), Some("k")),
            json!({"to": "calc/2", "key": "k"})
        );
    }

    #[test]
    fn an_idempotency_key_is_a_text() {
        let options =
            CallOptions { idempotency_key: Some("order-7".into()), ..CallOptions::default() };
        assert_eq!(meta_of(&options), b"\x81\xafidempotency_key\xa7order-7");
    }

    #[test]
    fn a_version_is_a_text_and_waiting_is_true() {
        let options = CallOptions {
            meta: crate::codec::encode(&json!({"wait": 1, "trace": 7})).unwrap(),
            version: Some("2".into()),
            wait: true,
            ..CallOptions::default()
        };
        let joined: Value =
            crate::codec::decode(procall_proto::Encoding::Msgpack, &meta_of(&options)).unwrap();
        assert_eq!(joined, json!({"version": "2", "wait": true, "trace": 7}));
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn a_wish_counts_whatever_the_other_entries_are() {
        let meta = |value: &Value| crate::codec::encode(value).unwrap();
        assert_eq!(
            super::of(&meta(&json!({"key": 7, "x": [1], "to": "calc/2"}))),
            (Some("calc/2"), None)
        );
        assert_eq!(super::of(&meta(&json!({"key": "k", "to": null}))), (None, Some("k")));
        assert_eq!(super::of(&[]), (None, None));
        assert_eq!(super::of(&[0x93, 1, 2, 3]), (None, None));
    }

    #[test]
    fn metadata_that_is_no_map_is_refused_only_when_something_is_to_join_it() {
        let mut options = CallOptions { meta: vec![0x93, 1, 2, 3], ..CallOptions::default() };
        assert!(meta(&options, None).is_ok());
        options.key = Some("k".into());
        assert!(meta(&options, None).is_err());
        options.meta = Vec::new();
        assert_eq!(meta_of(&options), b"\x81\xa3key\xa1k");
    }
}
