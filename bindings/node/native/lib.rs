//! The native half of the Node package `procall`: handles, bytes and codes. Everything that decides anything is in the crate `procall`.
//!
//! One [`Hub`](procall::Hub) a JavaScript thread; libuv watches its descriptor (`uv`). When it is readable, JavaScript calls `turn`,
//! which fills an array that JavaScript owns with records of events and their bodies. The way out is the same: `submit` takes many calls and
//! answers in one buffer. So a turn costs a few crossings of the language border, however many calls it moves.
//!
//! The numbers of records and their fields are in `records` and in `src/native.ts`.

#![deny(unsafe_code)]

mod attaching;
mod calls;
mod channels;
mod errors;
mod events;
mod figures;
mod options;
mod pools;
mod records;
mod schemas;
mod served;
mod services;
mod state;
mod submit;
mod turn;
mod uv;
