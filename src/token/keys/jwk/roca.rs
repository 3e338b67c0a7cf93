//! RSA moduli from a faulty key generator (CVE-2017-15361, "ROCA"): its primes are `k * M + 65537^a mod M` with `M` the product of the
//! first primes, so the modulus is a power of 65537 modulo each of them, and can be factored.

/// Odd primes that divide `M` at every key length. Those modulo which every number is a power of 65537 tell nothing, and do no harm.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109,
    113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// Has this big-endian modulus the form? A good one has it with a probability under 2^-27.
pub(super) fn has_the_form(modulus: &[u8]) -> bool {
    PRIMES.iter().all(|prime| is_power_of_65537(remainder(modulus, *prime), *prime))
}

fn remainder(number: &[u8], prime: u32) -> u32 {
    number.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime)
}

fn is_power_of_65537(rest: u32, prime: u32) -> bool {
    let mut power = 1;
    for _ in 0..prime {
        if power == rest {
            return true;
        }
        power = power * (65537 % prime) % prime;
    }
    false
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use jsonwebtoken::Algorithm;
    use serde_json::json;

    use super::*;
    use crate::token::{
        KeySet, SkipReason,
        testing::{b64, keys, with},
    };

    /// `number * factor + term`, big-endian.
    fn times(number: &[u8], factor: u32, term: u32) -> Vec<u8> {
        let mut carry = term;
        let mut digits: Vec<u8> = number
            .iter()
            .rev()
            .map(|digit| {
                let sum = u32::from(*digit) * factor + carry;
                carry = sum / 256;
                u8::try_from(sum % 256).unwrap()
            })
            .collect();
        while carry > 0 {
            digits.push(u8::try_from(carry % 256).unwrap());
            carry /= 256;
        }
        digits.reverse();
        digits
    }

    /// A number of over 2,048 bits that leaves `1 + more` by every prime.
    fn by_all(more: u32) -> Vec<u8> {
        let mut number = PRIMES.iter().fold(vec![2], |product, prime| times(&product, *prime, 0));
        while number.len() < 257 {
            number = times(&number, 251, 0);
        }
        times(&number, 1, 1 + more)
    }

    fn kids_and_reasons(modulus: &[u8]) -> (Vec<String>, Vec<SkipReason>) {
        let entry = with(with(keys().next.jwk("bad"), "n", b64(modulus)), "e", "AQAB");
        let document = json!({ "keys": [keys().main.jwk("good"), entry] }).to_string();
        let (set, skipped) = KeySet::parse(document.as_bytes(), &[Algorithm::RS256]).unwrap();
        (set.kids().map(str::to_owned).collect(), skipped.iter().map(|key| key.reason).collect())
    }

    #[test]
    fn a_key_of_the_roca_form_is_left_out() {
        assert_eq!(kids_and_reasons(&by_all(0)), (vec!["good".to_owned()], vec![SkipReason::Weak]));
        assert_eq!(kids_and_reasons(&by_all(2)), (vec!["bad".to_owned(), "good".to_owned()], vec![]));
    }

    #[test]
    fn a_number_that_leaves_a_power_of_65537_by_every_prime_has_the_form() {
        assert!(has_the_form(&by_all(0)));
        assert!(has_the_form(&by_all(65536)), "65537^1");
        // 1 + 1 is no power of 65537 modulo 11, where only 1 and 10 are.
        assert!(!has_the_form(&by_all(1)));
        assert!(!has_the_form(&by_all(2)));
    }

    #[test]
    fn one_prime_that_disagrees_is_enough() {
        let powers = |prime| (0..prime).filter(|rest| is_power_of_65537(*rest, prime)).count();
        // The order of 65537 modulo each.
        assert_eq!([3, 5, 7, 11, 13, 17, 37].map(powers), [2, 4, 6, 2, 6, 8, 3]);
        assert!(!is_power_of_65537(0, 3));
    }

    #[test]
    fn remainders_are_those_of_the_whole_number() {
        assert_eq!([remainder(&[], 7), remainder(&[1, 0], 7), remainder(&[1, 0, 1], 11)], [0, 256 % 7, 65537 % 11]);
    }

    #[test]
    fn keys_of_a_good_generator_have_not_the_form() {
        for key in [&keys().main, &keys().next, &keys().second] {
            let n = key.jwk("x")["n"].as_str().unwrap().to_owned();
            assert!(!has_the_form(&URL_SAFE_NO_PAD.decode(n).unwrap()));
        }
    }
}
