#[procall::service]
trait Calc {
    async fn length(&self, text: &str) -> u64;
    async fn name(&self) -> &str;
    async fn any(&self, value: impl Into<i64>) -> i64;
}

fn main() {}
