#![deny(unused_must_use)]

#[procall::service]
trait Calc {
    async fn add(&self, a: i64) -> i64;
}

fn call(calc: &CalcClient) {
    calc.add(1);
}

fn main() {}
