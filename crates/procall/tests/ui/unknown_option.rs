#[procall::service(nmae = "calc")]
trait Calc {
    async fn add(&self, a: i64) -> i64;
}

#[procall::service]
trait Other {
    #[method(idempotnet)]
    async fn add(&self, a: i64) -> i64;
    #[method(idempotent, idempotent)]
    async fn sub(&self, a: i64) -> i64;
}

fn main() {}
