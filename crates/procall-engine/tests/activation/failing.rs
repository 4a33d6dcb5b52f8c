use std::time::Duration;

use procall::{ErrorCode, Executed};
use procall_engine::ServiceSpec;
use procall_pool::RestartPolicy;

use crate::support::{Place, SAFETY, add, state};

/// Workers that are not tried twice, and a service that is not tried again for so long.
fn once(place: &Place, pause: Duration) -> ServiceSpec {
    let restart = RestartPolicy {
        max_unready: 1,
        backoff: pause,
        max_backoff: pause,
        jitter: 0.0,
        max_restarts: 0,
        ..RestartPolicy::default()
    };
    ServiceSpec { restart, ..place.calc() }
}

#[tokio::test]
async fn a_start_that_fails_is_told_with_its_last_words_and_not_tried_at_once_again() {
    let place = Place::new();
    std::fs::write(place.broken(), "").unwrap();
    let engine = place.engine(once(&place, SAFETY));
    let client = engine.client().await.unwrap();
    let error = add(&client).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::NoWorker, Executed::No), "{error}");
    assert!(error.message().contains("calc does not run"), "{error}");
    assert!(error.trace().unwrap_or_default().contains("cannot load the model"), "{error:?}");
    let starts = place.starts();
    for name in ["calc.add", "calc.other"] {
        let error = client.call::<i64>(name, (2, 3)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::NoWorker, "{error}");
        assert!(error.message().contains("calc does not run"), "{error}");
    }
    assert_eq!(place.starts(), starts, "it backs off");
    let (state, reason) = state(&engine).await;
    assert_eq!(state, "failed");
    assert!(reason.contains("calc does not run"), "{reason}");
    engine.stop().await;
}

#[tokio::test]
async fn after_the_pause_the_next_call_tries_again_and_a_patient_one_need_not_be_made_again() {
    let place = Place::new();
    std::fs::write(place.broken(), "").unwrap();
    let engine = place.engine(once(&place, Duration::from_millis(20)));
    let client = engine.client().await.unwrap();
    let patient = tokio::spawn({
        let client = client.clone();
        async move {
            let wait = serde_json::json!({ "wait": true });
            client.call::<i64>("calc.add", (2, 3)).meta(&wait).deadline(SAFETY).await
        }
    });
    place.said("calc failed", 2).await;
    std::fs::remove_file(place.broken()).unwrap();
    assert_eq!(patient.await.unwrap().unwrap(), 5);
    assert_eq!(add(&client).await.unwrap(), 5);
    engine.stop().await;
}

#[tokio::test]
async fn a_restart_does_not_wait_for_the_pause_and_answers_with_what_comes_of_it() {
    let place = Place::new();
    std::fs::write(place.broken(), "").unwrap();
    let engine = place.engine(once(&place, Duration::from_secs(3_600)));
    let client = engine.client().await.unwrap();
    add(&client).await.unwrap_err();
    let restart =
        || client.call::<Vec<String>>("procall.engine.restart", ("calc",)).deadline(SAFETY);
    let error = restart().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NoWorker, "{error}");
    assert!(error.trace().unwrap_or_default().contains("cannot load the model"), "{error:?}");
    place.said("calc failed", 2).await;
    let starts = place.starts();
    let error = add(&client).await.unwrap_err();
    assert_eq!((error.code(), place.starts()), (ErrorCode::NoWorker, starts), "it pauses again");
    std::fs::remove_file(place.broken()).unwrap();
    assert_eq!(restart().await.unwrap(), ["calc/1"]);
    assert_eq!(add(&client).await.unwrap(), 5);
    engine.stop().await;
}

#[tokio::test]
async fn a_restart_makes_the_next_pause_as_short_as_the_first() {
    let place = Place::new();
    std::fs::write(place.broken(), "").unwrap();
    let restart = RestartPolicy {
        max_backoff: Duration::from_secs(1_000_000),
        ..once(&place, Duration::from_secs(1_000)).restart
    };
    let engine = place.engine(ServiceSpec { restart, ..place.calc() });
    let client = engine.client().await.unwrap();
    let error = add(&client).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(1_000)));
    for _ in 0..3 {
        let call = client.call::<Vec<String>>("procall.engine.restart", ("calc",));
        let error = call.deadline(SAFETY).await.unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(1_000)), "{error}");
    }
    engine.stop().await;
}

#[tokio::test]
async fn workers_that_stay_down_are_told_and_the_service_is_started_anew() {
    let place = Place::new();
    let engine = place.engine(once(&place, Duration::from_millis(20)));
    let client = engine.client().await.unwrap();
    assert_eq!(add(&client).await.unwrap(), 5);
    let error = client.call::<bool>("calc.die", ()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::WorkerLost, "{error}");
    place.said("calc failed: all of its workers have failed", 1).await;
    let again = async {
        loop {
            match add(&client).await {
                Ok(sum) => return sum,
                Err(error) => assert_eq!(error.executed(), Executed::No, "{error}"),
            }
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(tokio::time::timeout(SAFETY, again).await.unwrap(), 5);
    assert_eq!(place.starts(), 2);
    engine.stop().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_anything_runs() {
    let place = Place::new();
    let refused = |spec: ServiceSpec| {
        let builder = procall_engine::Engine::builder().listen("tcp:127.0.0.1:0".parse().unwrap());
        builder.service(spec).start().unwrap_err().message().to_owned()
    };
    let calc = || place.calc();
    let wrong = refused(ServiceSpec { workers: Some(0), ..calc() });
    assert!(wrong.contains("at least 1 worker"), "{wrong}");
    let wrong = refused(ServiceSpec { workers: Some(1), min_workers: Some(2), ..calc() });
    assert!(wrong.contains("min_workers is 2"), "{wrong}");
    let wrong = refused(ServiceSpec { name: "procall.x".to_owned(), ..calc() });
    assert!(wrong.contains("engine's own"), "{wrong}");
    let builder = procall_engine::Engine::builder().listen("tcp:127.0.0.1:0".parse().unwrap());
    let error = builder.service(calc()).service(calc()).start().unwrap_err();
    assert!(error.message().contains("two services"), "{error}");
}

#[tokio::test]
async fn names_that_were_called_in_vain_are_forgotten() {
    let place = Place::new();
    std::fs::write(place.broken(), "").unwrap();
    let engine = place.engine(once(&place, Duration::from_millis(1)));
    let client = engine.client().await.unwrap();
    for round in 0..3 {
        let calls: Vec<_> = (0..200)
            .map(|name| {
                let client = client.clone();
                let name = format!("calc.m{round}_{name}");
                tokio::spawn(async move { client.call::<i64>(&name, ()).deadline(SAFETY).await })
            })
            .collect();
        for call in calls {
            let error = call.await.unwrap().unwrap_err();
            assert_eq!(error.code(), ErrorCode::NoWorker, "{error}");
        }
    }
    engine.stop().await;
}
