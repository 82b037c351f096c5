//! Operations whose cells depend on the same cells of their inputs only.

pub mod calc;
pub mod convert;
pub mod index;
pub mod sensor;
