#[procall::service]
trait Calc {
    const LIMIT: i64;
    type Number;
}

fn main() {}
