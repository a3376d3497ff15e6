//! Everything that needs more than one room or a real server, in one binary.

mod backend_conformance;
mod backend_s3;
mod cli;
mod cli_reference;
mod reliability;
mod requests;
mod rivals;
mod support;
mod tidy;
mod vectors;
mod whole;
