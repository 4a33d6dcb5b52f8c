#[procall::service]
trait Calc<T> {
    async fn add(&self, a: i64) -> i64;
}

fn main() {}
