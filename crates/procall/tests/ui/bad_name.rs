#[procall::service(name = "two words")]
trait Calc {
    async fn add(&self, a: i64) -> i64;
}

#[procall::service(name = "procall")]
trait Other {
    async fn add(&self, a: i64) -> i64;
}

fn main() {}
