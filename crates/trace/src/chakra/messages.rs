//! Chakra's execution traces by their published field numbers (schema 0.0.4 and 1.0).
//!
//! <https://github.com/mlcommons/chakra/blob/main/schema/protobuf/et_def.proto>. Fields that do not
//! change how long a program takes are skipped.

use prost::Message;

/// The first message of a file.
#[derive(Clone, PartialEq, Message)]
pub struct GlobalMetadata {
    /// Of the schema.
    #[prost(string, tag = "1")]
    pub version: String,
}

/// One node.
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    /// Its number.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// See [`crate::chakra`].
    #[prost(int32, tag = "3")]
    pub r#type: i32,
    /// Nodes that must have ended.
    #[prost(uint64, repeated, tag = "4")]
    pub ctrl_deps: Vec<u64>,
    /// Nodes whose results are used.
    #[prost(uint64, repeated, tag = "5")]
    pub data_deps: Vec<u64>,
    /// Recorded duration.
    #[prost(uint64, tag = "7")]
    pub duration_micros: u64,
    /// Anything by name.
    #[prost(message, repeated, tag = "10")]
    pub attr: Vec<Attribute>,
}

/// A named value.
#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(oneof = "Value", tags = "3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 28, 29")]
    pub value: Option<Value>,
}

/// The values that node attributes use.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Value {
    /// `double_val`
    #[prost(double, tag = "3")]
    Double(f64),
    /// `float_val`
    #[prost(float, tag = "5")]
    Float(f32),
    /// `int32_val`
    #[prost(int32, tag = "7")]
    Int32(i32),
    /// `int64_val`
    #[prost(int64, tag = "9")]
    Int64(i64),
    /// `uint32_val`
    #[prost(uint32, tag = "11")]
    Uint32(u32),
    /// `uint64_val`
    #[prost(uint64, tag = "13")]
    Uint64(u64),
    /// `sint32_val`
    #[prost(sint32, tag = "15")]
    Sint32(i32),
    /// `sint64_val`
    #[prost(sint64, tag = "17")]
    Sint64(i64),
    /// `fixed32_val`
    #[prost(fixed32, tag = "19")]
    Fixed32(u32),
    /// `fixed64_val`
    #[prost(fixed64, tag = "21")]
    Fixed64(u64),
    /// `sfixed32_val`
    #[prost(sfixed32, tag = "23")]
    Sfixed32(i32),
    /// `sfixed64_val`
    #[prost(sfixed64, tag = "25")]
    Sfixed64(i64),
    /// `bool_val`
    #[prost(bool, tag = "27")]
    Bool(bool),
    /// `bool_list`
    #[prost(message, tag = "28")]
    Bools(BoolList),
    /// `string_val`
    #[prost(string, tag = "29")]
    Text(String),
}

/// `BoolList`
#[derive(Clone, PartialEq, Message)]
pub struct BoolList {
    /// Its values.
    #[prost(bool, repeated, tag = "1")]
    pub values: Vec<bool>,
}
