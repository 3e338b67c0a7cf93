//! Where inputs come from: seeds, and changes that the driver of the engine chooses.

use std::{fs, path::PathBuf};

use bolero::{Driver, ValueGenerator, generator::produce};

/// Bytes that mean something to one of the parsers.
const WORDS: [&[u8]; 40] = [
    b"/",
    b"//",
    b"/../",
    b"/./",
    b"%2e",
    b"%2F",
    b"%25",
    b"%00",
    b"%",
    b";",
    b"?",
    b"#",
    b"\\",
    b"\xff",
    b"\xc0\xaf",
    b"\0",
    b"\r\n",
    b"\n",
    b"\r\n\r\n",
    b"\t",
    b" ",
    b":",
    b",",
    b"=",
    b"\"",
    b"'",
    b"{",
    b"}",
    b"[",
    b"]",
    b"&a *a",
    b"- ",
    b"${A:-b}",
    b".",
    b"e30",
    b"null",
    b"-1",
    b"99999999999999999999",
    b"Content-Length: 1\r\n",
    b"{{{{{{{{",
];

/// One of the seeds after some changes.
#[derive(Debug)]
pub(crate) struct Mutated(Vec<Vec<u8>>);

impl Mutated {
    /// From the seeds of that target.
    pub(crate) fn of(target: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(target);
        let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        assert!(paths.len() >= 3, "{target} has few seeds");
        Self(paths.iter().map(|path| fs::read(path).unwrap()).collect())
    }

    pub(crate) fn seeds(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }

    fn change<D: Driver>(&self, input: &mut Vec<u8>, driver: &mut D) -> Option<()> {
        let at = (0..=input.len()).generate(driver)?;
        let end = (at + (0_usize..=16).generate(driver)?).min(input.len());
        match (0_u8..8).generate(driver)? {
            0 => drop(input.drain(at..end)),
            1 => drop(input.splice(at..at, WORDS[(0..WORDS.len()).generate(driver)?].iter().copied())),
            2 => drop(input.splice(at..end, WORDS[(0..WORDS.len()).generate(driver)?].iter().copied())),
            3 => {
                let copy = input[at..end].to_vec();
                let times = (1_usize..=64).generate(driver)?;
                drop(input.splice(at..at, copy.repeat(times)));
            }
            4 => {
                let other = &self.0[(0..self.0.len()).generate(driver)?];
                let from = (0..=other.len()).generate(driver)?;
                drop(input.splice(at.., other[from..].iter().copied()));
            }
            5 => input.truncate(at),
            6 => drop(input.splice(at..at, [produce::<u8>().generate(driver)?])),
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << (0_u32..8).generate(driver)?;
                }
            }
        }
        Some(())
    }
}

impl ValueGenerator for Mutated {
    type Output = Vec<u8>;

    fn generate<D: Driver>(&self, driver: &mut D) -> Option<Vec<u8>> {
        if (0_u8..16).generate(driver)? == 0 {
            return produce::<Vec<u8>>().generate(driver);
        }
        let mut input = self.0[(0..self.0.len()).generate(driver)?].clone();
        for _ in 0..(1_u8..=6).generate(driver)? {
            self.change(&mut input, driver)?;
        }
        Some(input)
    }
}
