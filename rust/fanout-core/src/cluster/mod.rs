//! The cluster as a client sees it: who leads, who coordinates, what to ask again.
//!
//! ```text
//! retry   which answers mean later, which mean elsewhere, which mean stop
//! client  connections to brokers, opened when needed, dropped when out of step
//! layout  topics: id, partitions, leaders
//! groups · ends · holders · producers · topics   one file a kind of question
//! ```
//!
//! A [`Client`] belongs to one thread. It keeps nothing that a broker could not
//! tell again, so "forget everything and ask" is always a safe way on.

mod acl;
pub(crate) mod client;
pub mod ends;
pub mod groups;
pub mod holders;
mod layout;
pub mod producers;
pub mod retry;
mod security;
mod settings;
pub mod topics;

pub use client::{Client, Use};
pub use layout::{Leader, TopicLayout};
pub use retry::Failure;
pub use settings::ClientSettings;
