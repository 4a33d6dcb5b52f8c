use procall::{Client, ConnectOptions, ErrorCode, Stream};
use procall_engine::workers::{LogLine, WorkerRow};
use procall_engine::{Engine, Rights, ServiceRow, ServiceSpec, StartWhen};
use procall_pool::RestartPolicy;

use crate::support::{Place, SAFETY, add};

async fn rows(client: &Client) -> Vec<WorkerRow> {
    let rows: Vec<ServiceRow> = client.call("procall.engine.services", ()).await.unwrap();
    rows.into_iter().next().unwrap().workers
}

async fn lines(client: &Client, target: Option<&str>) -> Result<Vec<LogLine>, procall::Error> {
    let mut lines: Stream<LogLine> = client.stream("procall.engine.logs", (target, 100_u32, false));
    let mut found = Vec::new();
    while let Some(line) = lines.next().await {
        found.push(line?);
    }
    Ok(found)
}

async fn two(place: &Place) -> (Engine, Client) {
    let engine = place.engine(ServiceSpec { workers: Some(2), ..place.calc() });
    let client = engine.client().await.unwrap();
    assert_eq!(rows(&client).await, [], "it sleeps");
    add(&client).await.unwrap();
    (engine, client)
}

#[tokio::test]
async fn each_worker_has_a_row_while_its_service_runs() {
    let place = Place::new();
    let (engine, client) = two(&place).await;
    let there = rows(&client).await;
    let names: Vec<&str> = there.iter().map(|row| &*row.name).collect();
    assert_eq!(names, ["calc/1", "calc/2"]);
    assert!(there.iter().all(|row| row.service == "calc" && row.state == "ready"), "{there:?}");
    assert!(there.iter().all(|row| row.memory.unwrap() > 1 << 16), "{there:?}");
    assert!(there.iter().all(|row| row.uptime_ms.is_some() && row.restarts == 0), "{there:?}");
    assert_eq!(there.iter().map(|row| row.calls).sum::<u64>(), 1);
    engine.stop().await;
}

#[tokio::test]
async fn lines_are_kept_with_the_number_that_the_engine_gave_their_call() {
    let place = Place::new();
    let engine = place.with(|builder| {
        let told = place.told_calls();
        builder.service(place.calc()).on_call(move |call| told.lock().unwrap().push(call.call))
    });
    let client = engine.client().await.unwrap();
    // Its own number is nobody else's to give.
    let forged = serde_json::json!({ "procall.call": 77_777 });
    client.call::<()>("calc.print", ("hello",)).meta(&forged).deadline(SAFETY).await.unwrap();
    place.said("hello", 1).await;
    let kept = lines(&client, Some("calc")).await.unwrap();
    let [line] = &kept[..] else { panic!("{kept:?}") };
    assert_eq!((&*line.worker, &*line.text, &*line.outlet), ("calc/1", "hello", "stdout"));
    assert_eq!(line.method.as_deref(), Some("calc.print"));
    let number = line.engine_call.unwrap();
    let calls = place.told_calls().lock().unwrap().clone();
    assert!(calls.contains(&number) && number != 77_777, "{number}: {calls:?}");
    assert_eq!(lines(&client, Some("calc/1")).await.unwrap(), kept);
    assert_eq!(lines(&client, None).await.unwrap(), kept);
    for (wrong, near) in [("calc/9", "calc/1"), ("cal", "calc")] {
        let error = lines(&client, Some(wrong)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::NotFound, "{error}");
        assert_eq!(error.candidates(), [near]);
    }
    engine.stop().await;
}

#[tokio::test]
async fn what_a_failed_start_printed_is_kept() {
    let place = Place::new();
    std::fs::write(place.broken(), "").unwrap();
    let engine = place.engine(place.calc());
    let client = engine.client().await.unwrap();
    add(&client).await.unwrap_err();
    place.said("cannot load the model", 1).await;
    let kept = lines(&client, Some("calc")).await.unwrap();
    assert!(kept.iter().any(|line| line.text == "cannot load the model"), "{kept:?}");
    engine.stop().await;
}

#[tokio::test]
async fn only_who_may_administer_sees_what_a_worker_that_is_down_wrote() {
    const BOSS: &str = "boss-0123456789abcdef";
    const GUEST: &str = "guest-0123456789abcdef";
    let place = Place::new();
    let pause = RestartPolicy {
        max_unready: 1,
        backoff: SAFETY,
        max_backoff: SAFETY,
        max_restarts: 0,
        ..RestartPolicy::default()
    };
    let calc = ServiceSpec { workers: Some(2), restart: pause, ..place.calc() };
    let engine = place.with(|engine| {
        engine.service(calc).token("boss", BOSS, Rights::none().call("*").administer()).token(
            "guest",
            GUEST,
            Rights::none().call("*"),
        )
    });
    let address = engine.addresses()[0].to_string();
    let row = async |token: &str| {
        let options = ConnectOptions { token: Some(token.into()), ..ConnectOptions::default() };
        let client = Client::connect_with(&address, options).await.unwrap();
        let rows: Vec<ServiceRow> = client.call("procall.engine.services", ()).await.unwrap();
        rows.into_iter().next().unwrap()
    };
    let client = engine.client().await.unwrap();
    add(&client).await.unwrap();
    client.call::<bool>("calc.die", ()).retries(0).await.unwrap_err();
    place.said("last words", 1).await;
    let down = |row: &ServiceRow| {
        row.workers.iter().find(|worker| ["failed", "backoff"].contains(&&*worker.state)).cloned()
    };
    let boss = async {
        loop {
            match down(&row(BOSS).await) {
                Some(worker) => return worker,
                None => tokio::task::yield_now().await,
            }
        }
    };
    let boss = tokio::time::timeout(SAFETY, boss).await.unwrap();
    assert_eq!(boss.stderr, ["last words"]);
    let guest = down(&row(GUEST).await).unwrap();
    assert_eq!((&guest.name, guest.stderr), (&boss.name, Vec::new()));
    engine.stop().await;

    std::fs::write(place.broken(), "").unwrap();
    let engine = place.with(|engine| {
        let restart = RestartPolicy { max_unready: 1, ..RestartPolicy::default() };
        engine
            .service(ServiceSpec { restart, ..place.calc() })
            .token("boss", BOSS, Rights::none().call("*").administer())
            .token("guest", GUEST, Rights::none().call("*"))
    });
    let address = engine.addresses()[0].to_string();
    let reason = async |token: &str| {
        let options = ConnectOptions { token: Some(token.into()), ..ConnectOptions::default() };
        let client = Client::connect_with(&address, options).await.unwrap();
        add(&client).await.unwrap_err();
        let rows: Vec<ServiceRow> = client.call("procall.engine.services", ()).await.unwrap();
        rows.into_iter().next().unwrap().reason
    };
    let (boss, guest) = (reason(BOSS).await, reason(GUEST).await);
    assert!(boss.contains("cannot load the model"), "{boss}");
    assert!(guest.contains("calc does not run"), "{guest}");
    assert!(!guest.contains("cannot load the model"), "{guest}");
    engine.stop().await;
}

#[tokio::test]
async fn restarting_a_service_in_turn_loses_no_call() {
    let place = Place::new();
    let (engine, client) = two(&place).await;
    let pids = |rows: &[WorkerRow]| rows.iter().map(|row| row.pid.unwrap()).collect::<Vec<_>>();
    let before = pids(&rows(&client).await);
    let (done, mut over) = tokio::sync::oneshot::channel();
    let calls = tokio::spawn({
        let client = client.clone();
        async move {
            let mut answered = 0;
            while over.try_recv().is_err() {
                assert_eq!(add(&client).await.unwrap(), 5);
                answered += 1;
            }
            answered
        }
    });
    let restart = |target: &'static str| client.call("procall.engine.restart", (target,));
    let restarted: Vec<String> = restart("calc").deadline(SAFETY).await.unwrap();
    assert_eq!(restarted, ["calc/1", "calc/2"]);
    done.send(()).unwrap();
    assert!(calls.await.unwrap() > 0);
    let after = pids(&rows(&client).await);
    assert!(before.iter().all(|pid| !after.contains(pid)), "{before:?} {after:?}");

    let one: Vec<String> = restart("calc/2").deadline(SAFETY).await.unwrap();
    assert_eq!(one, ["calc/2"]);
    let last = pids(&rows(&client).await);
    assert_eq!(last[0], after[0]);
    assert_ne!(last[1], after[1]);
    let error = restart("calc/9").deadline(SAFETY).await.map(|_: Vec<String>| ()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound, "{error}");
    engine.stop().await;
}

#[tokio::test]
async fn a_service_that_sleeps_is_started_by_a_restart() {
    let place = Place::new();
    let engine = place.engine(ServiceSpec { start: StartWhen::Call, ..place.calc() });
    let client = engine.client().await.unwrap();
    let call = client.call("procall.engine.restart", ("calc",)).deadline(SAFETY);
    let started: Vec<String> = call.await.unwrap();
    assert_eq!(started, ["calc/1"]);
    assert_eq!(place.starts(), 1);
    engine.stop().await;
}
