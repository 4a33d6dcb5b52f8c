#[procall::service]
trait Calc {
    async fn new(&self) -> i64;
}

fn main() {}
