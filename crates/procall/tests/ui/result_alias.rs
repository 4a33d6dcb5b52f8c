#[procall::service]
trait Calc {
    async fn read(&self, path: String) -> std::io::Result<String>;
}

fn main() {}
