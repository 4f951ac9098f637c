//! The shape of every answer that is read: one entry a request, for the versions it is asked in.

use kafka_protocol::messages as m;

use super::shape::Answered;
use super::shape::Part::{self, Fixed, List, OldTexts, Tags, Text};

/// Tagged fields of which none is decoded.
const END: Part = Tags(&[]);

/// Topics by name, each with a list of partitions.
macro_rules! topics {
    ($($partition:expr),+) => { List(&[Text, List(&[$($partition),+, END]), END]) };
}

/// The answers to `$request`, one shape for all versions or one by version; those to a login know no throttling.
macro_rules! answered {
    ($request:ident, $shape:expr) => { answered!($request, _version => $shape); };
    ($request:ident, $version:ident => $shape:expr) => {
        answered!($request, $version => $shape, answer => answer.throttle_time_ms);
    };
    (login $request:ident, $shape:expr) => { answered!($request, _version => $shape, _answer => 0); };
    ($request:ident, $version:ident => $shape:expr, $answer:ident => $throttle_ms:expr) => {
        impl Answered for m::$request {
            fn shape($version: i16) -> &'static [Part] {
                $shape
            }

            fn throttle_ms($answer: &Self::Response) -> i32 {
                $throttle_ms
            }
        }
    };
}

const FEATURES: Part = List(&[Text, Fixed(4), END]);
const ENDPOINTS: Part = List(&[Fixed(4), Text, Fixed(4), Text, END]);
const LEADER: &[Part] = &[Fixed(8), END];

const BROKERS: Part = List(&[Fixed(4), Text, Fixed(4), Text, END]);
const NODES: Part = List(&[Fixed(4)]);
const LAID_OUT: Part = List(&[
    Fixed(2),
    Text,
    Fixed(17),
    List(&[Fixed(14), NODES, NODES, NODES, END]),
    Fixed(4),
    END,
]);

const FETCHED: Part = List(&[
    Fixed(30),
    List(&[Fixed(16), END]),
    Fixed(4),
    Text,
    Tags(&[(0, &[Fixed(12), END]), (1, LEADER), (2, &[Fixed(12), END])]),
]);
const PRODUCED: Part = List(&[
    Fixed(30),
    List(&[Fixed(4), Text, END]),
    Text,
    Tags(&[(0, LEADER)]),
]);
const MADE_AS: Part = List(&[Text, Text, Fixed(3), END]);
const NEAR: Part = Tags(&[(0, &[ENDPOINTS])]);

answered!(
    ApiVersionsRequest,
    &[
        Fixed(2),
        List(&[Fixed(6), END]),
        Fixed(4),
        Tags(&[
            (0, &[FEATURES]),
            (1, &[Fixed(8)]),
            (2, &[FEATURES]),
            (3, &[Fixed(1)])
        ]),
    ]
);
answered!(MetadataRequest, version => match version {
    ..=10 => &[Fixed(4), BROKERS, Text, Fixed(4), LAID_OUT, Fixed(4), END],
    _ => &[Fixed(4), BROKERS, Text, Fixed(4), LAID_OUT, END],
});
answered!(
    FindCoordinatorRequest,
    &[
        Fixed(4),
        List(&[Text, Fixed(4), Text, Fixed(4), Fixed(2), Text, END]),
        END,
    ]
);
answered!(InitProducerIdRequest, &[Fixed(16), END]);
answered!(
    OffsetFetchRequest,
    &[
        Fixed(4),
        List(&[Text, topics!(Fixed(16), Text, Fixed(2)), Fixed(2), END]),
        END,
    ]
);
answered!(OffsetCommitRequest, &[Fixed(4), topics!(Fixed(6)), END]);
answered!(
    LeaveGroupRequest,
    &[Fixed(6), List(&[Text, Text, Fixed(2), END]), END]
);
answered!(ListOffsetsRequest, &[Fixed(4), topics!(Fixed(26)), END]);
answered!(
    FetchRequest,
    &[Fixed(10), List(&[Fixed(16), FETCHED, END]), NEAR]
);
answered!(ProduceRequest, version => match version {
    ..=12 => &[List(&[Text, PRODUCED, END]), Fixed(4), NEAR],
    _ => &[List(&[Fixed(16), PRODUCED, END]), Fixed(4), NEAR],
});
answered!(
    AddPartitionsToTxnRequest,
    &[Fixed(4), topics!(Fixed(6)), END]
);
answered!(AddOffsetsToTxnRequest, &[Fixed(6), END]);
answered!(TxnOffsetCommitRequest, &[Fixed(4), topics!(Fixed(6)), END]);
answered!(EndTxnRequest, version => match version {
    ..=4 => &[Fixed(6), END],
    _ => &[Fixed(16), END],
});
answered!(
    DescribeTransactionsRequest,
    &[
        Fixed(4),
        List(&[
            Fixed(2),
            Text,
            Text,
            Fixed(22),
            List(&[Text, List(&[Fixed(4)]), END]),
            END,
        ]),
        END,
    ]
);
answered!(CreateTopicsRequest, version => match version {
    ..=6 => &[
        Fixed(4), List(&[Text, Fixed(2), Text, Fixed(6), MADE_AS, Tags(&[(0, &[Fixed(2)])])]), END,
    ],
    _ => &[
        Fixed(4), List(&[Text, Fixed(18), Text, Fixed(6), MADE_AS, Tags(&[(0, &[Fixed(2)])])]), END,
    ],
});
answered!(
    DeleteTopicsRequest,
    &[Fixed(4), List(&[Text, Fixed(18), Text, END]), END,]
);
answered!(
    DescribeProducersRequest,
    &[
        Fixed(4),
        topics!(Fixed(6), Text, List(&[Fixed(36), END])),
        END,
    ]
);
answered!(
    ListTransactionsRequest,
    &[
        Fixed(6),
        List(&[Text]),
        List(&[Text, Fixed(8), Text, END]),
        END,
    ]
);
answered!(
    DescribeConfigsRequest,
    &[
        Fixed(4),
        List(&[
            Fixed(2),
            Text,
            Fixed(1),
            Text,
            List(&[
                Text,
                Text,
                Fixed(3),
                List(&[Text, Text, Fixed(1), END]),
                Fixed(1),
                Text,
                END,
            ]),
            END,
        ]),
        END,
    ]
);
answered!(login SaslHandshakeRequest, &[Fixed(2), OldTexts]);
answered!(
    login SaslAuthenticateRequest,
    &[Fixed(2), Text, Text, Fixed(8), END]
);

#[cfg(test)]
mod tests;
