#[procall::service]
trait Calc {
    async fn add(a: i64, b: i64) -> i64;
    async fn reset(&mut self);
    async fn end(self);
}

fn main() {}
