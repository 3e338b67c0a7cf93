//! The extensions of the language that Cerbos turns on: strings, math, lists, encoders, bindings and comprehensions with two variables. Names
//! with an `@` are what macros expand to.

use super::Shape::{A, B, Bool, Bytes, Double, Duration, Dyn, Int, List, String, Timestamp, Uint};
use super::{Function, LIST_OF_A, MAP_OF_A_TO_B, Overload, global, member};

/// The least or the greatest: of one, of two of any types, of a list of one type.
const EXTREME: &[Overload] = &[
    global(&[Double], Double),
    global(&[Int], Int),
    global(&[Uint], Uint),
    global(&[Double, Double], Double),
    global(&[Int, Int], Int),
    global(&[Uint, Uint], Uint),
    global(&[Int, Uint], Dyn),
    global(&[Int, Double], Dyn),
    global(&[Double, Int], Dyn),
    global(&[Double, Uint], Dyn),
    global(&[Uint, Int], Dyn),
    global(&[Uint, Double], Dyn),
    global(&[List(&Double)], Double),
    global(&[List(&Int)], Int),
    global(&[List(&Uint)], Uint),
];

/// A double into a double.
const ROUNDING: &[Overload] = &[global(&[Double], Double)];

/// A question about a double.
const OF_A_DOUBLE: &[Overload] = &[global(&[Double], Bool)];

/// Any number into its like.
const OF_A_NUMBER: &[Overload] = &[global(&[Double], Double), global(&[Int], Int), global(&[Uint], Uint)];

/// Two whole numbers of one type.
const OF_BITS: &[Overload] = &[global(&[Int, Int], Int), global(&[Uint, Uint], Uint)];

/// A whole number, by so many places.
const OF_PLACES: &[Overload] = &[global(&[Int, Int], Int), global(&[Uint, Int], Uint)];

/// Two texts, and a place in the first.
const SEARCH: &[Overload] = &[member(&[String, String], Int), member(&[String, String, Int], Int)];

const TEXT_TO_TEXT: &[Overload] = &[member(&[String], String)];

pub(super) const FUNCTIONS: &[Function] = &[
    ("charAt", &[member(&[String, Int], String)]),
    ("indexOf", SEARCH),
    ("lastIndexOf", SEARCH),
    ("lowerAscii", TEXT_TO_TEXT),
    ("upperAscii", TEXT_TO_TEXT),
    ("trim", TEXT_TO_TEXT),
    ("replace", &[member(&[String, String, String], String), member(&[String, String, String, Int], String)]),
    ("split", &[member(&[String, String], List(&String)), member(&[String, String, Int], List(&String))]),
    ("substring", &[member(&[String, Int], String), member(&[String, Int, Int], String)]),
    ("format", &[member(&[String, List(&Dyn)], String)]),
    ("strings.quote", &[global(&[String], String)]),
    ("join", &[member(&[List(&String)], String), member(&[List(&String), String], String)]),
    ("reverse", &[member(&[String], String), member(&[LIST_OF_A], LIST_OF_A)]),
    ("slice", &[member(&[LIST_OF_A, Int, Int], LIST_OF_A)]),
    ("flatten", &[member(&[List(&LIST_OF_A)], LIST_OF_A), member(&[List(&Dyn), Int], List(&Dyn))]),
    ("distinct", &[member(&[LIST_OF_A], LIST_OF_A)]),
    ("lists.range", &[global(&[Int], List(&Int))]),
    (
        "sort",
        &[
            member(&[List(&Int)], List(&Int)),
            member(&[List(&Uint)], List(&Uint)),
            member(&[List(&Double)], List(&Double)),
            member(&[List(&Bool)], List(&Bool)),
            member(&[List(&Duration)], List(&Duration)),
            member(&[List(&Timestamp)], List(&Timestamp)),
            member(&[List(&String)], List(&String)),
            member(&[List(&Bytes)], List(&Bytes)),
        ],
    ),
    (
        "@sortByAssociatedKeys",
        &[
            member(&[LIST_OF_A, List(&Int)], LIST_OF_A),
            member(&[LIST_OF_A, List(&Uint)], LIST_OF_A),
            member(&[LIST_OF_A, List(&Double)], LIST_OF_A),
            member(&[LIST_OF_A, List(&Bool)], LIST_OF_A),
            member(&[LIST_OF_A, List(&Duration)], LIST_OF_A),
            member(&[LIST_OF_A, List(&Timestamp)], LIST_OF_A),
            member(&[LIST_OF_A, List(&String)], LIST_OF_A),
            member(&[LIST_OF_A, List(&Bytes)], LIST_OF_A),
        ],
    ),
    ("math.@min", EXTREME),
    ("math.@max", EXTREME),
    ("math.ceil", ROUNDING),
    ("math.floor", ROUNDING),
    ("math.round", ROUNDING),
    ("math.trunc", ROUNDING),
    ("math.isInf", OF_A_DOUBLE),
    ("math.isNaN", OF_A_DOUBLE),
    ("math.isFinite", OF_A_DOUBLE),
    ("math.abs", OF_A_NUMBER),
    ("math.sign", OF_A_NUMBER),
    ("math.sqrt", &[global(&[Double], Double), global(&[Int], Double), global(&[Uint], Double)]),
    ("math.bitAnd", OF_BITS),
    ("math.bitOr", OF_BITS),
    ("math.bitXor", OF_BITS),
    ("math.bitNot", &[global(&[Int], Int), global(&[Uint], Uint)]),
    ("math.bitShiftLeft", OF_PLACES),
    ("math.bitShiftRight", OF_PLACES),
    ("base64.decode", &[global(&[String], Bytes)]),
    ("base64.encode", &[global(&[Bytes], String)]),
    (
        "cel.@mapInsert",
        &[global(&[MAP_OF_A_TO_B, A, B], MAP_OF_A_TO_B), global(&[MAP_OF_A_TO_B, MAP_OF_A_TO_B], MAP_OF_A_TO_B)],
    ),
];
