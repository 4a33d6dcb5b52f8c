use std::time::Duration;

use procall::{ErrorCode, Executed};
use procall_engine::{MethodRow, Program, ServiceSpec, StartWhen};

use crate::support::{Place, SAFETY, add, state};

#[tokio::test]
async fn several_first_calls_start_a_service_once_and_are_answered() {
    let place = Place::new();
    let engine = place.engine(place.calc());
    let client = engine.client().await.unwrap();
    assert_eq!(state(&engine).await.0, "asleep");
    assert_eq!(place.starts(), 0, "nobody has called it");
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { add(&client).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), 5);
    }
    assert_eq!(place.starts(), 1);
    assert_eq!(state(&engine).await.0, "running");
    engine.stop().await;
}

#[tokio::test]
async fn a_name_that_there_is_not_is_told_when_the_service_runs() {
    let place = Place::new();
    let engine = place.engine(place.calc());
    let client = engine.client().await.unwrap();
    let call = client.call::<i64>("calc.ad", (2, 3)).deadline(SAFETY);
    let error = call.await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::NotFound, Executed::No), "{error}");
    assert_eq!(error.candidates()[0], "calc.add");
    // Others are not started for, and it is not listed.
    let error = client.call::<i64>("other.add", (2, 3)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    let rows: Vec<MethodRow> = client.call("procall.engine.list", ()).await.unwrap();
    assert!(rows.iter().all(|row| row.name != "calc.ad"));
    engine.stop().await;
}

#[tokio::test]
async fn a_first_call_waits_no_longer_than_its_deadline() {
    let place = Place::new();
    // It never says that it is ready.
    let program = Program::Command(vec!["/bin/sleep".to_owned(), "600".to_owned()]);
    let spec = ServiceSpec { program, ..place.calc() };
    let engine = place.with(|engine| engine.service(spec).drain(Duration::ZERO));
    let client = engine.client().await.unwrap();
    let call = client.call::<i64>("calc.add", (2, 3)).deadline(Duration::from_millis(50));
    let error = call.await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DeadlineExceeded);
    // The engine knows that it did not run; the client's own clock may be first, and knows less.
    assert_ne!(error.executed(), Executed::Yes);
    assert_eq!(state(&engine).await.0, "starting");
    engine.stop().await;
}

#[tokio::test]
async fn methods_that_are_said_to_be_there_are_listed_and_found_by_their_last_part() {
    let place = Place::new();
    let spec = ServiceSpec { methods: vec!["add".to_owned(), "gone".to_owned()], ..place.calc() };
    let engine = place.engine(spec);
    let client = engine.client().await.unwrap();
    let rows: Vec<MethodRow> = client.call("procall.engine.list", ()).await.unwrap();
    let row = rows.iter().find(|row| row.name == "calc.add").unwrap();
    assert_eq!(row.state, "asleep");
    let sum: i64 = client.call("add", (2, 3)).deadline(SAFETY).await.unwrap();
    assert_eq!(sum, 5);
    let error = client.call::<i64>("calc.gone", ()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound, "the list was wrong: {error}");
    engine.stop().await;
}

#[tokio::test]
async fn methods_of_the_state_start_their_service() {
    let place = Place::new();
    let start =
        || place.with(|engine| engine.service(place.calc()).state(place.path().join("state")));
    let first = start();
    assert_eq!(add(&first.client().await.unwrap()).await.unwrap(), 5);
    first.stop().await;
    let second = start();
    let client = second.client().await.unwrap();
    let rows: Vec<MethodRow> = client.call("procall.engine.list", ()).await.unwrap();
    assert!(rows.iter().any(|row| row.name == "calc.add" && row.state == "asleep"));
    let error = client.call::<i64>("calc.nothing", ()).deadline(SAFETY).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    let sum: i64 = client.call("add", (2, 3)).deadline(SAFETY).await.unwrap();
    assert_eq!((sum, place.starts()), (5, 2));
    second.stop().await;
}

#[tokio::test]
async fn at_boot_it_starts_by_itself_with_what_it_was_given() {
    let place = Place::new();
    let calc = place.calc();
    let spec = ServiceSpec {
        start: StartWhen::Boot,
        workers: Some(2),
        args: vec!["--weights".to_owned(), "a b".to_owned()],
        env: [calc.env.clone(), vec![("COLOUR".to_owned(), "blue".to_owned())]].concat(),
        cwd: Some(place.path().to_owned()),
        ..calc
    };
    let engine = place.engine(spec);
    place.said("calc running, 2 workers", 1).await;
    assert_eq!(place.starts(), 2);
    let client = engine.client().await.unwrap();
    let colour: String = client.call("calc.variable", ("COLOUR",)).await.unwrap();
    let folder: String = client.call("calc.folder", ()).await.unwrap();
    let arguments: Vec<String> = client.call("calc.arguments", ()).await.unwrap();
    let path = place.path().canonicalize().unwrap();
    assert_eq!((&*colour, folder.as_str()), ("blue", path.to_str().unwrap()));
    assert_eq!(arguments, ["--weights", "a b"]);
    let peers: Vec<procall_engine::PeerRow> =
        client.call("procall.engine.peers", ()).await.unwrap();
    let calc = peers.iter().find(|peer| peer.service == "calc").unwrap();
    assert_eq!(calc.slots, 8, "two workers of four calls each");
    engine.stop().await;
}

#[tokio::test]
async fn a_version_that_the_service_does_not_have_is_told_once_it_runs() {
    let place = Place::new();
    let engine = place.engine(place.calc());
    let client = engine.client().await.unwrap();
    let version = serde_json::json!({ "version": "9" });
    let call = client.call::<i64>("calc.add", (2, 3)).meta(&version).no_deadline();
    let error = tokio::time::timeout(SAFETY, call).await.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::NoWorker, "{error}");
    assert!(error.message().contains("version 9"), "{error}");
    engine.stop().await;
}

#[tokio::test]
async fn a_key_keeps_to_one_of_the_workers_and_the_service_has_its_own_name() {
    let place = Place::new();
    let engine = place.engine(ServiceSpec { workers: Some(3), ..place.calc() });
    let client = engine.client().await.unwrap();
    add(&client).await.unwrap();
    let key = serde_json::json!({ "key": "blue" });
    let mut pids = std::collections::BTreeSet::new();
    for _ in 0..12 {
        pids.insert(client.call::<u32>("calc.pid", ()).meta(&key).await.unwrap());
    }
    assert_eq!(pids.len(), 1);
    let to = serde_json::json!({ "to": "calc" });
    assert_eq!(client.call::<i64>("calc.add", (2, 3)).meta(&to).await.unwrap(), 5);
    engine.stop().await;
}

#[tokio::test]
async fn a_service_is_started_without_a_call() {
    let place = Place::new();
    let engine = place.engine(place.calc());
    let client = engine.client().await.unwrap();
    let start = |name: &str| client.call::<()>("procall.engine.start", (name,)).deadline(SAFETY);
    start("calc").await.unwrap();
    start("calc").await.unwrap();
    assert_eq!((place.starts(), state(&engine).await.0), (1, "running".to_owned()));
    let error = start("calk").await.unwrap_err();
    assert_eq!((error.code(), error.candidates()), (ErrorCode::NotFound, &["calc".to_owned()][..]));
    engine.stop().await;
}
