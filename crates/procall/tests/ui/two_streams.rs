#[procall::service]
trait Calc {
    async fn zip(&self, a: procall::Stream<i64>, b: procall::Stream<i64>) -> i64;
}

fn main() {}
