//! Published runs.
