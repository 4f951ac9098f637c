//! What goes wrong for lanes that must show nothing of it.

use fanout_core::forward::memory::Fault;
use proptest::prelude::*;

use crate::lane::TARGETS;

fn refusal() -> impl Strategy<Value = i16> {
    prop_oneof![Just(6), Just(19), Just(45), Just(47), Just(120)]
}

/// Whatever may go wrong once and does not end a lane.
pub(crate) fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::ProduceCode(6)),
        Just(Fault::ProduceCode(51)),
        Just(Fault::ProduceCode(45)),
        Just(Fault::ProduceCode(59)),
        (0..6_u32, 0..4_usize, refusal()).prop_map(|(ahead, at, code)| Fault::ProduceAt(
            ahead,
            TARGETS[at],
            code
        )),
        Just(Fault::LeadersMove),
        Just(Fault::ProduceAnswerLost),
        Just(Fault::EndAnswerLost),
        Just(Fault::EndLost),
        Just(Fault::EndLate),
    ]
}
