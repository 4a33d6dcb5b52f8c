//! Messages: what was read, written again and read again, says the same.

use procall_proto::{Message, json as form};

pub(super) fn native(bytes: &[u8]) {
    let Ok(Some(message)) = Message::decode(bytes) else { return };
    let mut written = Vec::new();
    message.encode(&mut written);
    assert_eq!(Message::decode(&written).as_ref(), Ok(&Some(message)), "{written:02x?}");
}

pub(super) fn json(bytes: &[u8]) {
    let Ok(messages) = form::decode(bytes) else { return };
    for message in messages {
        let Some(native) = message.native(1) else { continue };
        let mut bytes = Vec::new();
        native.encode(&mut bytes);
        assert_eq!(Message::decode(&bytes).as_ref(), Ok(&Some(native.clone())), "{message:?}");
        // Some native messages have no JSON form; which ones is told.
        let Ok(written) = form::encode(&native) else { continue };
        let again = form::decode(&written).expect("what we wrote can be read");
        let natives: Vec<_> = again.iter().filter_map(|message| message.native(1)).collect();
        let texts: Vec<_> = natives.iter().map(form::encode).collect();
        assert_eq!(texts, [Ok(written)], "{native:?}");
    }
}
