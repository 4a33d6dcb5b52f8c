@0xd9c6f2a1b7e40c55;

interface Calc {
  add @0 (a :Int64, b :Int64) -> (sum :Int64);
  touch @1 (payload :Data) -> (sum :UInt64);
}
