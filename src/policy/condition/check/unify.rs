//! Which type fits where another is wanted, and what that says of the types that are not known yet.
//!
//! The rules are those of cel-go's checker, so that what compiles there compiles here: `dyn` fits everywhere, null fits messages, and a type
//! variable takes the more general of the types that it meets. An attempt that fails leaves nothing behind.
//! Invariant: all attempts together end after [`STEPS`] steps, and none goes deeper than [`DEPTH`].

use super::types::Type;

/// How many steps one expression may take. The longest conditions take a tenth of them.
const STEPS: usize = 1 << 18;

/// How deep types may nest, with the variables in them followed.
const DEPTH: usize = 128;

/// What is known of the type variables of one expression.
#[derive(Debug, Default)]
pub(super) struct Unifier {
    bound: Vec<Option<Type>>,
    /// What was bound before, to take an attempt back.
    trail: Vec<(usize, Option<Type>)>,
    steps: usize,
    depth: usize,
    spent: bool,
}

/// Whether one type can stand for a type variable.
enum Substitution {
    Fits,
    /// Not with what the variable is bound to.
    Clashes,
    /// The type contains the variable.
    Circular,
}

impl Unifier {
    /// A type that is not known yet.
    pub(super) fn fresh(&mut self) -> Type {
        self.bound.push(None);
        Type::Variable(self.bound.len() - 1)
    }

    /// Did the types become too large to compare? Then answers mean nothing.
    pub(super) fn is_spent(&self) -> bool {
        self.spent
    }

    /// Does the one type fit where the other is wanted?
    pub(super) fn fits(&mut self, given: &Type, wanted: &Type) -> bool {
        self.all_fit(std::slice::from_ref(given), std::slice::from_ref(wanted))
    }

    /// The same, of each type of two lists.
    pub(super) fn all_fit(&mut self, given: &[Type], wanted: &[Type]) -> bool {
        let mark = self.trail.len();
        let fit =
            given.len() == wanted.len() && given.iter().zip(wanted).all(|(given, wanted)| self.fit(given, wanted));
        if !fit {
            for (variable, before) in self.trail.split_off(mark).into_iter().rev() {
                if let Some(binding) = self.bound.get_mut(variable) {
                    *binding = before;
                }
            }
        }
        fit
    }

    /// The type with everything put in that is known.
    pub(super) fn substitute(&mut self, given: &Type) -> Type {
        self.filled(given, false)
    }

    /// The same; what is not known is `dyn`.
    pub(super) fn resolve(&mut self, given: &Type) -> Type {
        self.filled(given, true)
    }

    /// Runs one step, unless there have been too many.
    fn step<T>(&mut self, spent: T, step: impl FnOnce(&mut Self) -> T) -> T {
        if self.spent || self.steps == STEPS || self.depth == DEPTH {
            self.spent = true;
            return spent;
        }
        self.steps += 1;
        self.depth += 1;
        let result = step(self);
        self.depth -= 1;
        result
    }

    fn filled(&mut self, given: &Type, dynamic: bool) -> Type {
        self.step(Type::Dyn, |this| match given {
            Type::List(element) => Type::list(this.filled(element, dynamic)),
            Type::Map(key, value) => Type::map(this.filled(key, dynamic), this.filled(value, dynamic)),
            Type::Meta(value) => Type::meta(this.filled(value, dynamic)),
            Type::Variable(variable) => match this.binding(*variable) {
                Some(bound) => this.filled(&bound, dynamic),
                None if dynamic => Type::Dyn,
                None => given.clone(),
            },
            Type::Dyn
            | Type::Null
            | Type::Bool
            | Type::Int
            | Type::Uint
            | Type::Double
            | Type::String
            | Type::Bytes
            | Type::Timestamp
            | Type::Duration
            | Type::Message(_) => given.clone(),
        })
    }

    fn binding(&self, variable: usize) -> Option<Type> {
        self.bound.get(variable).cloned().flatten()
    }

    fn bind(&mut self, variable: usize, to: Type) {
        if let Some(binding) = self.bound.get_mut(variable) {
            self.trail.push((variable, binding.replace(to)));
        }
    }

    fn fit(&mut self, given: &Type, wanted: &Type) -> bool {
        self.step(false, |this| {
            if let Type::Variable(variable) = wanted {
                match this.stand_for(given, *variable) {
                    Substitution::Fits => return true,
                    Substitution::Clashes => return false,
                    Substitution::Circular => {}
                }
            }
            if let Type::Variable(variable) = given {
                return matches!(this.stand_for(wanted, *variable), Substitution::Fits);
            }
            match (given, wanted) {
                (Type::Dyn, _) | (_, Type::Dyn) | (Type::Meta(_), Type::Meta(_)) => true,
                (Type::Null, other) | (other, Type::Null) => other.is_nullable(),
                (Type::List(given), Type::List(wanted)) => this.fit(given, wanted),
                (Type::Map(given, value), Type::Map(wanted, other)) => {
                    this.fit(given, wanted) && this.fit(value, other)
                }
                (given, wanted) => given == wanted,
            }
        })
    }

    /// Lets a type stand for a variable, together with what it stands for already.
    fn stand_for(&mut self, given: &Type, variable: usize) -> Substitution {
        if *given == Type::Variable(variable) {
            return Substitution::Fits;
        }
        let Some(bound) = self.binding(variable) else {
            if self.occurs(variable, given) {
                return Substitution::Circular;
            }
            self.bind(variable, given.clone());
            return Substitution::Fits;
        };
        if *given == bound {
            return Substitution::Fits;
        }
        if !self.fit(given, &bound) {
            return Substitution::Clashes;
        }
        let general = most_general(given, &bound).clone();
        if !self.occurs(variable, &general) {
            self.bind(variable, general);
        }
        Substitution::Fits
    }

    /// Does the variable stand in the type, seen through other variables?
    fn occurs(&mut self, variable: usize, within: &Type) -> bool {
        self.step(true, |this| match within {
            Type::Variable(other) if *other == variable => true,
            Type::Variable(other) => this.binding(*other).is_some_and(|bound| this.occurs(variable, &bound)),
            Type::Dyn
            | Type::Null
            | Type::Bool
            | Type::Int
            | Type::Uint
            | Type::Double
            | Type::String
            | Type::Bytes
            | Type::Timestamp
            | Type::Duration
            | Type::List(_)
            | Type::Map(..)
            | Type::Meta(_)
            | Type::Message(_) => within.parts().into_iter().flatten().any(|part| this.occurs(variable, part)),
        })
    }
}

/// The more general of two types that fit each other.
pub(super) fn most_general<'t>(first: &'t Type, second: &'t Type) -> &'t Type {
    if is_as_general(first, second) { first } else { second }
}

/// Does the first type say no more than the second?
fn is_as_general(first: &Type, second: &Type) -> bool {
    match (first, second) {
        (Type::Dyn | Type::Variable(_), _) => true,
        (_, Type::Dyn | Type::Variable(_)) => false,
        (Type::List(first), Type::List(second)) => is_as_general(first, second),
        (Type::Map(first, value), Type::Map(second, other)) => {
            is_as_general(first, second) && is_as_general(value, other)
        }
        (Type::Meta(_), Type::Meta(_)) => true,
        (first, second) => first == second,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_takes_the_more_general_type_and_a_failed_attempt_leaves_nothing() {
        let mut unifier = Unifier::default();
        let variable = unifier.fresh();
        assert!(unifier.fits(&Type::Int, &variable));
        assert!(!unifier.fits(&Type::Double, &variable));
        assert_eq!(unifier.substitute(&variable), Type::Int);
        assert!(unifier.fits(&Type::Dyn, &variable));
        assert_eq!(unifier.substitute(&variable), Type::Dyn);
        let other = unifier.fresh();
        let pair = [Type::Int, Type::Bool];
        assert!(!unifier.all_fit(&pair, &[other.clone(), Type::String]));
        assert_eq!(unifier.substitute(&other), other);
        assert_eq!(unifier.resolve(&other), Type::Dyn);
    }

    #[test]
    fn a_type_does_not_contain_itself() {
        let mut unifier = Unifier::default();
        let variable = unifier.fresh();
        let list = Type::list(variable.clone());
        assert!(!unifier.fits(&list, &variable));
        assert!(!unifier.fits(&variable, &list));
        assert_eq!(unifier.substitute(&variable), variable);
    }

    #[test]
    fn types_that_double_with_every_variable_are_given_up() {
        let mut unifier = Unifier::default();
        let variables: Vec<Type> = (0..200).map(|_| unifier.fresh()).collect();
        for pair in variables.windows(2) {
            unifier.fits(&Type::map(pair[1].clone(), pair[1].clone()), &pair[0]);
        }
        unifier.resolve(&variables[0]);
        assert!(unifier.is_spent());
    }
}
