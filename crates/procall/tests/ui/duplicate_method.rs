#[procall::service]
trait Calc {
    async fn add(&self, a: i64) -> i64;
    #[method(name = "add")]
    async fn plus(&self, a: i64) -> i64;
}

fn main() {}
