//! What an engine remembers over its own end.

mod coming_back;
mod damage;
mod place;
mod support;
