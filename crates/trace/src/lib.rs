//! Every foreign format in and out.
