//! Laws of the whole room.

mod crash;
mod damage;
mod fixture;
mod memory;
mod model;
mod similar;
