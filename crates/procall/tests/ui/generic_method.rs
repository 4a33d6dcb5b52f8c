#[procall::service]
trait Calc {
    async fn add<T>(&self, a: T) -> T;
}

fn main() {}
