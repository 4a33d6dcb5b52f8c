use std::time::Duration;

use procall::ErrorCode;
use procall_engine::{ServiceSpec, StartWhen};

use crate::support::{Place, SAFETY, add, hold, is_gone};

#[tokio::test]
async fn an_idle_service_stops_and_the_next_call_starts_it_again() {
    let place = Place::new();
    let spec = ServiceSpec { idle_timeout: Some(Duration::from_millis(40)), ..place.calc() };
    let engine = place.engine(spec);
    let client = engine.client().await.unwrap();
    let pid: u32 = client.call("calc.pid", ()).deadline(SAFETY).await.unwrap();
    let process = hold(pid);
    place.said("calc stopping: nobody called it", 1).await;
    place.said("calc asleep", 1).await;
    assert!(is_gone(&process));
    assert_eq!(add(&client).await.unwrap(), 5);
    assert_eq!(place.starts(), 2);
    engine.stop().await;
}

#[tokio::test]
async fn one_that_works_is_not_idle() {
    let place = Place::new();
    let idle = ServiceSpec { idle_timeout: Some(Duration::from_millis(20)), ..place.calc() };
    let other = ServiceSpec { name: "other".to_owned(), ..idle.clone() };
    let engine = place.with(|engine| engine.service(idle).service(other));
    let client = engine.client().await.unwrap();
    let fifo = place.fifo();
    let held = tokio::spawn({
        let (client, fifo) = (client.clone(), fifo.clone());
        async move { client.call::<i64>("calc.hold", (fifo,)).deadline(SAFETY).await }
    });
    place.said("calc running", 1).await;
    // Another becomes idle meanwhile, twice, which takes longer than this one may be idle.
    for times in 1..=2 {
        let error = client.call::<i64>("other.nothing", ()).deadline(SAFETY).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::NotFound);
        place.said("other asleep", times).await;
    }
    assert!(!place.told().iter().any(|line| line.contains("calc stopping")), "{:?}", place.told());
    // The pipe opens once the worker reads it.
    tokio::task::spawn_blocking(move || {
        std::fs::OpenOptions::new().write(true).open(fifo).unwrap()
    })
    .await
    .unwrap();
    assert_eq!(held.await.unwrap().unwrap(), 1);
    place.said("calc asleep", 1).await;
    engine.stop().await;
}

#[tokio::test]
async fn no_call_is_lost_while_a_service_comes_and_goes() {
    let place = Place::new();
    let spec = ServiceSpec { idle_timeout: Some(Duration::from_millis(5)), ..place.calc() };
    let engine = place.engine(spec);
    let client = engine.client().await.unwrap();
    for times in 1..=10 {
        assert_eq!(add(&client).await.unwrap(), 5);
        // About when it stops.
        tokio::task::yield_now().await;
        assert_eq!(add(&client).await.unwrap(), 5);
        place.said("calc stopping", times).await;
    }
    engine.stop().await;
}

#[tokio::test]
async fn the_last_service_stops_first_and_nothing_is_left() {
    let place = Place::new();
    let named =
        |name: &str| ServiceSpec { name: name.to_owned(), start: StartWhen::Boot, ..place.calc() };
    let engine = place.with(|engine| engine.service(named("first")).service(named("second")));
    place.said("first running", 1).await;
    place.said("second running", 1).await;
    let pids = std::fs::read_to_string(place.path().join("starts")).unwrap();
    let processes: Vec<_> = pids.lines().map(|pid| hold(pid.parse().unwrap())).collect();
    assert_eq!(processes.len(), 2);
    engine.stop().await;
    assert!(processes.iter().all(is_gone), "{:?}", place.told());
    let told = place.told();
    let at = |line: &str| told.iter().position(|told| told.contains(line)).unwrap();
    assert!(at("second asleep") < at("first stopping"), "{told:?}");
}
