use crate::support::{House, JSON, failure, lab};

#[tokio::test]
async fn no_route_answers_to_a_foreign_name_or_page() {
    let (house, _lab, _worker) = lab().await;
    for line in [
        "POST /v1/call/lab/add",
        "GET /v1/methods",
        "GET /openapi.json",
        "POST /rpc",
        "GET /ws",
        "GET /healthz",
        "GET /metrics",
        "GET /nothing",
        "OPTIONS /v1/call/lab/add",
    ] {
        let body = if line.starts_with("POST") { "[1, 2]" } else { "" };
        let answer = house.ask(line, &[JSON, ("Host", "evil.example:8081")], body).await;
        assert_eq!(answer.failure(), failure(421, "PERMISSION_DENIED", "no"), "{line}");
        let answer = house.ask(line, &[JSON, ("Origin", "http://evil.example")], body).await;
        assert_eq!(answer.failure(), failure(403, "PERMISSION_DENIED", "no"), "{line}");
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
    let answer = house.ask("GET http://evil.example/v1/methods", &[], "").await;
    assert_eq!(answer.status, 421, "a name in the address counts too");
}

#[tokio::test]
async fn names_and_origins_that_were_given_are_answered() {
    let house =
        House::with(|builder| builder.http_host("hub.example").http_origin("https://app.example"));
    assert_eq!(house.ask("GET /healthz", &[("Host", "hub.example:80")], "").await.status, 200);
    let page = ("Origin", "https://app.example");
    let answer = house.ask("GET /v1/methods", &[page], "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["access-control-allow-origin"], "https://app.example");
    let head = [page, ("Access-Control-Request-Method", "POST")];
    let answer = house.ask("OPTIONS /v1/call/lab/add", &head, "").await;
    assert_eq!(answer.status, 204);
    assert!(answer.headers["access-control-allow-headers"].contains("content-type"));
}

#[tokio::test]
async fn a_token_is_wanted_by_all_but_the_look_whether_it_lives() {
    let house = House::with(|builder| builder.http_token("open-sesame"));
    assert_eq!(house.get("/healthz").await.status, 200);
    for path in ["/v1/methods", "/openapi.json", "/metrics", "/nothing", "/ws"] {
        let answer = house.get(path).await;
        assert_eq!(answer.failure(), failure(401, "UNAUTHENTICATED", "no"), "{path}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    let wrong = house.ask("GET /v1/methods", &[("Authorization", "Bearer open-sesamE")], "").await;
    assert_eq!(wrong.status, 401);
    let right = house.ask("GET /v1/methods", &[("Authorization", "Bearer open-sesame")], "").await;
    assert_eq!(right.status, 200);
    assert!(!format!("{:?}", house.engine).contains("open-sesame"));
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let house = House::new();
    let builder = procall_engine::Engine::builder().listen("tcp:127.0.0.1:0".parse().unwrap());
    let error = builder.http(house.http).start().unwrap_err();
    assert_eq!(error.code(), procall::ErrorCode::NameTaken);
    assert!(error.message().contains(&house.http.to_string()), "{error}");
}
