//! What an engine remembers over its own end.

mod coming_back;
mod damage;
mod ghost;
mod place;
mod support;
