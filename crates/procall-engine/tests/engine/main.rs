//! The engine from outside: native peers that find and call each other through it.

mod calls;
mod coming_back;
mod naming;
mod own;
mod proxy;
mod raw;
mod registering;
mod remembering;
mod routing;
mod support;
mod tokens;
