#[procall::service]
trait Calc {
    #[method(blocking)]
    async fn add(&self, a: i64) -> i64;
    #[method(blocking)]
    fn count(&self, n: u64) -> procall::Stream<u64>;
    fn sum(&self, values: procall::Stream<i64>) -> i64;
}

fn main() {}
