#[procall::service]
struct Calc;

fn main() {}
