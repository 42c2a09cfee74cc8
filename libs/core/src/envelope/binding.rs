//! The event that an envelope belongs to.

use uuid::Uuid;

use crate::event::Header;
use crate::wire::{lp, plan_label};

const LABEL: &str = "sealbus/aad/v2\n";

/// What an envelope is bound to: under another event's it does not open. All of it is known before the event has its place in
/// the plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Binding<'a> {
    /// The deployment.
    pub origin: &'a str,
    /// Whose event it is.
    pub tenant: &'a str,
    /// Whose chain it continues.
    pub plan: &'a str,
    /// Which event.
    pub event_id: Uuid,
    /// What happened.
    pub event_type: &'a str,
    /// The version of the type's schema.
    pub data_version: u32,
}

impl<'a> Binding<'a> {
    /// That of the event with this header.
    pub fn of(header: &'a Header) -> Self {
        Binding {
            origin: &header.origin,
            tenant: &header.tenant,
            plan: &header.plan,
            event_id: header.event_id,
            event_type: &header.event_type,
            data_version: header.data_version,
        }
    }

    /// The associated data of the encryption.
    pub fn associated_data(&self) -> Vec<u8> {
        let mut bytes = plan_label(LABEL, self.origin, self.tenant, self.plan);
        bytes.extend_from_slice(self.event_id.as_bytes());
        lp(&mut bytes, self.event_type.as_bytes());
        bytes.extend_from_slice(&self.data_version.to_be_bytes());
        bytes
    }
}
