//! Tests of the core, and of the house itself. They need no network and no other program.

mod layers;
