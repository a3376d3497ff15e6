//! What goes wrong, where, and how that is drawn from a seed.

use crate::backend::record::Verb;
use crate::base::Entropy;
use crate::base::clock::SeededEntropy;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultEffect {
    /// The call fails and does nothing.
    FailBefore,
    /// The call does its work, then its answer is lost.
    FailAfter,
    /// This and all later calls that the fault looks at fail and do nothing.
    FailForever,
    /// A read ends early: the last byte is missing. Nothing happens to other verbs.
    ShortRead,
    /// A read has one bit flipped; which, is drawn from the seed. Nothing happens to other verbs.
    FlippedRead,
    /// A listing lacks one object; which, is drawn from the seed. Nothing happens to other verbs.
    IncompleteList,
    /// A listing names one object twice; which, is drawn from the seed. Nothing happens to other verbs.
    DoubledList,
    /// A put does its work and says that the object was there before, as after a retry whose first answer was
    /// lost. Nothing happens to other verbs.
    FalseExisted,
    /// A put is acknowledged and nothing is stored, as when a disk loses what it never wrote. Nothing happens
    /// to other verbs.
    LostPut,
    /// The call does its work, its answer is lost, and a long time passes until that is clear.
    TimeOut,
    /// The call does its work after a long time.
    Throttle,
    /// A listing or a lease is as it was when first asked for, and an object that was put since then is
    /// not there. Nothing happens to other verbs.
    OldData,
    /// This and all later calls that store something fail for want of space. Deleting and reading go on.
    Full,
    /// This and all later puts of packs fail for want of space; what is small still finds some.
    NearlyFull,
    /// This and all later calls that change something are not permitted. Reading goes on.
    ReadOnly,
    /// The process is dead: this and all later calls of every verb fail and do nothing.
    Stop,
    /// The call does its work, then the process is dead.
    StopAfter,
}

impl FaultEffect {
    /// All effects.
    pub const ALL: [Self; 17] = [
        Self::FailBefore,
        Self::FailAfter,
        Self::FailForever,
        Self::ShortRead,
        Self::FlippedRead,
        Self::IncompleteList,
        Self::DoubledList,
        Self::FalseExisted,
        Self::LostPut,
        Self::TimeOut,
        Self::Throttle,
        Self::OldData,
        Self::Full,
        Self::NearlyFull,
        Self::ReadOnly,
        Self::Stop,
        Self::StopAfter,
    ];

    /// Returns whether the effect changes anything about a call of `verb`.
    pub fn concerns(self, verb: Verb) -> bool {
        match self {
            Self::ShortRead | Self::FlippedRead => {
                matches!(verb, Verb::Get | Verb::GetRange | Verb::GetVersioned)
            }
            Self::IncompleteList | Self::DoubledList => verb == Verb::List,
            Self::FalseExisted | Self::LostPut | Self::NearlyFull => verb == Verb::PutNew,
            Self::OldData => {
                matches!(verb, Verb::List | Verb::Get | Verb::GetRange | Verb::Stat | Verb::GetVersioned)
            }
            Self::Full => stores(verb),
            Self::StopAfter | Self::FailAfter | Self::ReadOnly => verb.is_mutation(),
            Self::FailBefore | Self::FailForever | Self::Stop | Self::TimeOut | Self::Throttle => true,
        }
    }
}

/// Returns whether `verb` takes space.
pub(super) fn stores(verb: Verb) -> bool {
    matches!(verb, Verb::PutNew | Verb::Replace)
}

/// One thing that goes wrong at one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// At which of the calls that this fault looks at, counted from zero.
    pub call: u64,
    /// Which calls it looks at; empty for all.
    pub verbs: Vec<Verb>,
    /// What happens there.
    pub effect: FaultEffect,
}

/// All that goes wrong, and the seed for what is left to chance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultPlan {
    /// Draws flipped bits and missing objects; to be printed by the test that uses it.
    pub seed: u64,
    /// The faults; each counts calls for itself.
    pub faults: Vec<Fault>,
}

impl FaultPlan {
    /// Returns a plan of one fault.
    pub fn one(seed: u64, call: u64, verbs: &[Verb], effect: FaultEffect) -> Self {
        Self { seed, faults: vec![Fault { call, verbs: verbs.to_vec(), effect }] }
    }

    /// Returns a plan that lets `calls` calls pass and then behaves as if the process had died.
    pub fn stop_after(calls: u64) -> Self {
        Self::one(0, calls, &[], FaultEffect::Stop)
    }

    /// Returns a plan of one fault drawn from `seed`, at one of the first `calls` calls.
    pub fn from_seed(seed: u64, calls: u64) -> Self {
        let entropy = SeededEntropy::new(seed);
        let effect = FaultEffect::ALL[draw(&entropy, FaultEffect::ALL.len() as u64) as usize];
        Self::one(seed, draw(&entropy, calls), &[], effect)
    }
}

/// Returns a number below `bound` (zero for a bound of zero).
pub(super) fn draw(entropy: &dyn Entropy, bound: u64) -> u64 {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    u64::from_le_bytes(bytes).checked_rem(bound).unwrap_or(0)
}
