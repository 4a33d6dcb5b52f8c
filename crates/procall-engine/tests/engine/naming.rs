use crate::support::{House, math};

#[tokio::test]
async fn several_workers_of_a_service_have_names_of_their_own() {
    let house = House::new();
    let _one = house.serve(math()).await;
    let _two = house.serve(math()).await;
    let peers = house.peers().await;
    let mut names: Vec<&str> =
        peers.iter().filter(|peer| peer.methods > 0).map(|peer| peer.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["math/1", "math/2"]);
}
