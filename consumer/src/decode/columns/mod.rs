//! Pure. Columns while they are filled, by whatever format: growable, cut back when a record turns out not to fit,
//! then Arrow arrays.

mod arrays;
mod fields;
mod scalar;
mod values;

pub(super) use fields::Fields;
pub(super) use scalar::{Misfit, Scalar, column_precision, unscaled};
pub(super) use values::{Bytes, Data, Values};
