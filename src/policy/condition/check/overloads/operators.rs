//! Operators, under the names that the parser gives them. `&&` and `||` are not here: they take any number of booleans.

use cel::common::ast::operators;

use super::Shape::{A, B, Bool, Bytes, Double, Duration, Int, String, Timestamp, Uint};
use super::{Function, LIST_OF_A, MAP_OF_A_TO_B, Overload, global};
use crate::policy::condition::check::types::Message;

/// Numbers compare with numbers of any type, everything else with its like.
const COMPARISON: &[Overload] = &[
    global(&[Bool, Bool], Bool),
    global(&[Int, Int], Bool),
    global(&[Int, Double], Bool),
    global(&[Int, Uint], Bool),
    global(&[Uint, Uint], Bool),
    global(&[Uint, Double], Bool),
    global(&[Uint, Int], Bool),
    global(&[Double, Double], Bool),
    global(&[Double, Int], Bool),
    global(&[Double, Uint], Bool),
    global(&[String, String], Bool),
    global(&[Bytes, Bytes], Bool),
    global(&[Timestamp, Timestamp], Bool),
    global(&[Duration, Duration], Bool),
];

const EQUALITY: &[Overload] = &[global(&[A, A], Bool)];

const ARITHMETIC: &[Overload] =
    &[global(&[Double, Double], Double), global(&[Int, Int], Int), global(&[Uint, Uint], Uint)];

pub(super) const FUNCTIONS: &[Function] = &[
    (operators::CONDITIONAL, &[global(&[Bool, A, A], A)]),
    (operators::LOGICAL_NOT, &[global(&[Bool], Bool)]),
    (operators::NOT_STRICTLY_FALSE, &[global(&[Bool], Bool)]),
    (operators::EQUALS, EQUALITY),
    (operators::NOT_EQUALS, EQUALITY),
    (operators::LESS, COMPARISON),
    (operators::LESS_EQUALS, COMPARISON),
    (operators::GREATER, COMPARISON),
    (operators::GREATER_EQUALS, COMPARISON),
    (
        operators::ADD,
        &[
            global(&[Bytes, Bytes], Bytes),
            global(&[Double, Double], Double),
            global(&[Duration, Duration], Duration),
            global(&[Duration, Timestamp], Timestamp),
            global(&[Timestamp, Duration], Timestamp),
            global(&[Int, Int], Int),
            global(&[LIST_OF_A, LIST_OF_A], LIST_OF_A),
            global(&[String, String], String),
            global(&[Uint, Uint], Uint),
        ],
    ),
    (
        operators::SUBSTRACT,
        &[
            global(&[Double, Double], Double),
            global(&[Duration, Duration], Duration),
            global(&[Int, Int], Int),
            global(&[Timestamp, Duration], Timestamp),
            global(&[Timestamp, Timestamp], Duration),
            global(&[Uint, Uint], Uint),
        ],
    ),
    (operators::MULTIPLY, ARITHMETIC),
    (operators::DIVIDE, ARITHMETIC),
    (operators::MODULO, &[global(&[Int, Int], Int), global(&[Uint, Uint], Uint)]),
    (operators::NEGATE, &[global(&[Double], Double), global(&[Int], Int)]),
    (
        operators::INDEX,
        &[
            global(&[LIST_OF_A, Int], A),
            global(&[MAP_OF_A_TO_B, A], B),
            global(&[super::Shape::Message(Message::Hierarchy), Int], String),
        ],
    ),
    (operators::IN, &[global(&[A, LIST_OF_A], Bool), global(&[A, MAP_OF_A_TO_B], Bool)]),
];
