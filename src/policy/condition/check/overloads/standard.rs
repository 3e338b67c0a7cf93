//! The standard library.

use super::Shape::{A, Bool, Bytes, Double, Duration, Dyn, Int, Meta, String, Timestamp, Uint};
use super::{Function, LIST_OF_A, MAP_OF_A_TO_B, Overload, global, member};
use crate::policy::condition::check::types::Message;

/// A part of a date, with a time zone or in UTC.
const OF_A_DATE: &[Overload] = &[member(&[Timestamp], Int), member(&[Timestamp, String], Int)];

/// A part of a time of day, or a length in that unit.
const OF_A_TIME: &[Overload] =
    &[member(&[Timestamp], Int), member(&[Timestamp, String], Int), member(&[Duration], Int)];

/// Does a text hold another?
const OF_TWO_TEXTS: &[Overload] = &[member(&[String, String], Bool)];

pub(super) const FUNCTIONS: &[Function] = &[
    ("bool", &[global(&[Bool], Bool), global(&[String], Bool)]),
    ("bytes", &[global(&[Bytes], Bytes), global(&[String], Bytes)]),
    (
        "double",
        &[global(&[Double], Double), global(&[Int], Double), global(&[String], Double), global(&[Uint], Double)],
    ),
    ("duration", &[global(&[Duration], Duration), global(&[Int], Duration), global(&[String], Duration)]),
    ("dyn", &[global(&[A], Dyn)]),
    (
        "int",
        &[
            global(&[Int], Int),
            global(&[Double], Int),
            global(&[Duration], Int),
            global(&[String], Int),
            global(&[Timestamp], Int),
            global(&[Uint], Int),
        ],
    ),
    (
        "string",
        &[
            global(&[String], String),
            global(&[Bool], String),
            global(&[Bytes], String),
            global(&[Double], String),
            global(&[Duration], String),
            global(&[Int], String),
            global(&[Timestamp], String),
            global(&[Uint], String),
        ],
    ),
    ("timestamp", &[global(&[Timestamp], Timestamp), global(&[Int], Timestamp), global(&[String], Timestamp)]),
    ("type", &[global(&[A], Meta(&A))]),
    ("uint", &[global(&[Uint], Uint), global(&[Double], Uint), global(&[Int], Uint), global(&[String], Uint)]),
    (
        "size",
        &[
            global(&[Bytes], Int),
            member(&[Bytes], Int),
            global(&[LIST_OF_A], Int),
            member(&[LIST_OF_A], Int),
            global(&[MAP_OF_A_TO_B], Int),
            member(&[MAP_OF_A_TO_B], Int),
            global(&[String], Int),
            member(&[String], Int),
            member(&[super::Shape::Message(Message::Hierarchy)], Int),
        ],
    ),
    ("contains", OF_TWO_TEXTS),
    ("endsWith", OF_TWO_TEXTS),
    ("startsWith", OF_TWO_TEXTS),
    ("matches", &[global(&[String, String], Bool), member(&[String, String], Bool)]),
    ("getFullYear", OF_A_DATE),
    ("getMonth", OF_A_DATE),
    ("getDayOfYear", OF_A_DATE),
    ("getDayOfMonth", OF_A_DATE),
    ("getDate", OF_A_DATE),
    ("getDayOfWeek", OF_A_DATE),
    ("getHours", OF_A_TIME),
    ("getMinutes", OF_A_TIME),
    ("getSeconds", OF_A_TIME),
    ("getMilliseconds", OF_A_TIME),
];
