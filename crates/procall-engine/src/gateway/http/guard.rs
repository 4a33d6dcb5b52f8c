//! Who may ask at all: looked at before any route.
//!
//! A page that a browser shows may send requests to any address, also to ones that a name server of its choice gives it (DNS rebinding). Both
//! show in the request: `Host` is then a foreign name, and `Origin` a foreign page.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use procall::{Error, ErrorCode};

use super::failure::Failure;
use super::settings::HttpSettings;
use crate::tokens::{Doors, Pass};

/// What stands before a token among the subprotocols of a WebSocket: browsers cannot send `Authorization` with those.
pub(super) const BEARER_PROTOCOL: &str = "bearer.";

/// The one route that anybody may ask: it tells only that somebody is there.
const OPEN: &str = "/healthz";

/// The one where a token may also be shown inside, in the first message.
const INSIDE: &str = "/ws";

/// A request that may be answered.
#[derive(Debug)]
pub(super) struct Admitted {
    /// The foreign origin that it comes from, which the settings allow.
    pub(super) foreign: Option<String>,
    /// What it may do. `None` where nothing is done with it, or where a token is to be shown inside.
    pub(super) pass: Option<Pass>,
}

/// Looks at a request's head.
pub(super) fn check(
    settings: &HttpSettings,
    doors: &Doors,
    local: SocketAddr,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Admitted, Failure> {
    let host = host(headers)?;
    // In a request to a proxy the address has a host of its own, which counts more than the header.
    for host in std::iter::once(&host).chain(uri.authority()) {
        if !is_ours(settings, local, host) {
            let message = format!(
                "\"{host}\" is no name of this engine; --http-host {} lets it in",
                host.host()
            );
            let error = Error::new(ErrorCode::PermissionDenied, message);
            return Err(Failure::new(StatusCode::MISDIRECTED_REQUEST, error));
        }
    }
    let foreign = foreign_origin(settings, &host, headers)?;
    // A browser asks without the token whether it may ask with it.
    let preflight = foreign.is_some() && method == Method::OPTIONS;
    if uri.path() == OPEN || preflight {
        return Ok(Admitted { foreign, pass: None });
    }
    let pass = pass(settings, doors, uri, headers)?;
    Ok(Admitted { foreign, pass })
}

/// What a request may do by the tokens that it brings: the gateway's own lets in whoever has it, and each of the engine's with its rights.
fn pass(
    settings: &HttpSettings,
    doors: &Doors,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Option<Pass>, Failure> {
    let mut any = false;
    for offered in offered(headers) {
        any = true;
        if settings.token.as_ref().is_some_and(|token| token.is(offered)) {
            return Ok(Some(doors.guest()));
        }
        if doors.ask()
            && let Ok(pass) = doors.admit(None, Some(offered))
        {
            return Ok(Some(pass));
        }
    }
    if settings.token.is_none() {
        if !doors.ask() {
            return Ok(Some(doors.guest()));
        }
        if !any && uri.path() == INSIDE {
            return Ok(None);
        }
    }
    let message = match any {
        true => "the token is wrong; send `Authorization: Bearer TOKEN`",
        false => "a token is missing; send `Authorization: Bearer TOKEN`",
    };
    Err(Error::new(ErrorCode::Unauthenticated, message).into())
}

fn host(headers: &HeaderMap) -> Result<Authority, Failure> {
    let mut all = headers.get_all(HOST).iter();
    let (Some(host), None) = (all.next(), all.next()) else {
        return Err(Failure::request(StatusCode::BAD_REQUEST, "a request has one Host header"));
    };
    let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    host.filter(|host| !host.as_str().contains('@'))
        .ok_or_else(|| Failure::request(StatusCode::BAD_REQUEST, "the Host header is no host"))
}

/// A name of the loopback, the very address that was connected to, or a name that the settings have. Names that are addresses cannot be
/// rebound by anybody.
fn is_ours(settings: &HttpSettings, local: SocketAddr, host: &Authority) -> bool {
    let name = host.host();
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        if ip.is_loopback() || ip == local.ip() {
            return true;
        }
    } else if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    settings
        .hosts
        .iter()
        .any(|ours| ours.eq_ignore_ascii_case(host.as_str()) || ours.eq_ignore_ascii_case(name))
}

/// The origin, if it is another than the host's and allowed; an error if it is not.
fn foreign_origin(
    settings: &HttpSettings,
    host: &Authority,
    headers: &HeaderMap,
) -> Result<Option<String>, Failure> {
    let mut all = headers.get_all(ORIGIN).iter();
    let Some(origin) = all.next() else { return Ok(None) };
    let refused = || {
        let message = format!(
            "pages of {} may not call this engine; --http-origin lets them",
            String::from_utf8_lossy(origin.as_bytes())
        );
        Failure::from(Error::new(ErrorCode::PermissionDenied, message))
    };
    if all.next().is_some() {
        return Err(refused());
    }
    let text = origin.to_str().map_err(|_| refused())?;
    let own = ["http://", "https://"].iter().any(|scheme| {
        text.strip_prefix(scheme).is_some_and(|rest| rest.eq_ignore_ascii_case(host.as_str()))
    });
    if own {
        return Ok(None);
    }
    let allowed = settings.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(text));
    if allowed { Ok(Some(text.to_owned())) } else { Err(refused()) }
}

/// The tokens that a request brings.
fn offered(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let bearer = headers.get_all(AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, token) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
    });
    let protocols = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().flat_map(|value| {
        value
            .as_bytes()
            .split(|&byte| byte == b',')
            .filter_map(|one| one.trim_ascii().strip_prefix(BEARER_PROTOCOL.as_bytes()))
    });
    bearer.chain(protocols)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;
    use axum::response::IntoResponse;

    use super::super::settings::Token;
    use super::*;
    use crate::rights::Rights;

    fn status(settings: &HttpSettings, head: &[(HeaderName, &str)]) -> u16 {
        let headers: HeaderMap =
            head.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        let local = "192.0.2.7:8081".parse().unwrap();
        let uri: Uri = "/v1/methods".parse().unwrap();
        let doors = Doors::new(Vec::new(), Rights::user()).unwrap();
        match check(settings, &doors, local, &Method::GET, &uri, &headers) {
            Ok(_) => 200,
            Err(failure) => failure.into_response().status().as_u16(),
        }
    }

    #[test]
    fn only_our_own_names_are_answered() {
        let settings =
            HttpSettings { hosts: vec!["hub.example".to_owned()], ..HttpSettings::default() };
        let of = |host: &str| status(&settings, &[(HOST, host)]);
        for ours in [
            "localhost",
            "LOCALHOST:8081",
            "127.0.0.1:8081",
            "127.8.9.1",
            "[::1]:8081",
            "192.0.2.7",
        ] {
            assert_eq!(of(ours), 200, "{ours}");
        }
        assert_eq!((of("hub.example"), of("Hub.Example:444")), (200, 200));
        for foreign in [
            "evil.example",
            "evil.example:8081",
            "192.0.2.8",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
        ] {
            assert_eq!(of(foreign), 421, "{foreign}");
        }
        assert_eq!(of("user@localhost"), 400);
        assert_eq!(status(&settings, &[]), 400);
    }

    #[test]
    fn foreign_pages_may_not_call() {
        let settings = HttpSettings {
            origins: vec!["https://app.example".to_owned()],
            ..HttpSettings::default()
        };
        let of = |origin: &str| status(&settings, &[(HOST, "localhost:8081"), (ORIGIN, origin)]);
        assert_eq!((of("http://localhost:8081"), of("https://app.example")), (200, 200));
        for foreign in [
            "http://localhost:3000",
            "http://localhost",
            "https://evil.example",
            "null",
            "localhost:8081",
        ] {
            assert_eq!(of(foreign), 403, "{foreign}");
        }
    }

    #[test]
    fn a_token_is_asked_for_in_either_way() {
        let settings =
            HttpSettings { token: Some(Token::new("secret")), ..HttpSettings::default() };
        let of = |name: HeaderName, value: &str| {
            status(&settings, &[(HOST, "localhost"), (name, value)])
        };
        assert_eq!(of(AUTHORIZATION, "Bearer secret"), 200);
        assert_eq!(of(AUTHORIZATION, "bearer secret"), 200);
        assert_eq!(of(SEC_WEBSOCKET_PROTOCOL, "procall, bearer.secret"), 200);
        for wrong in ["Bearer wrong", "Basic secret", "secret", "Bearer "] {
            assert_eq!(of(AUTHORIZATION, wrong), 401, "{wrong}");
        }
    }
}
