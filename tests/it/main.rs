//! Everything that needs more than one room or a real server, in one binary.

// The fuzz targets name the crate of the fuzzer: here its macro is the one of `fuzz::shim`.
extern crate self as libfuzzer_sys;
pub(crate) use fuzz::shim::fuzz_target;

mod backend_conformance;
mod backend_s3;
mod cli;
mod cli_reference;
mod fuzz;
mod reliability;
mod requests;
mod rivals;
mod support;
mod tidy;
mod vectors;
mod whole;
