//! Pages: markup that holds, numbers that are the JSON's, nothing from the network.

mod campaigns;
mod kit;
mod pages;
