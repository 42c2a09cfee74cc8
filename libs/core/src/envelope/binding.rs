//! The event to which an envelope is bound.

use uuid::Uuid;

use crate::event::Header;
use crate::wire::{lp, plan_label};

const LABEL: &str = "sealbus/aad/v2\n";

/// The fields of an event to which its envelope is bound. The envelope does not open with the fields of another event. All of
/// them are known before the event has a seq.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Binding<'a> {
    /// Origin of the deployment.
    pub origin: &'a str,
    /// Tenant.
    pub tenant: &'a str,
    /// Plan.
    pub plan: &'a str,
    /// Event id.
    pub event_id: Uuid,
    /// Event type.
    pub event_type: &'a str,
    /// Version of the type's schema.
    pub data_version: u32,
}

impl<'a> Binding<'a> {
    /// Returns the binding of the event with this header.
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

    /// Returns the associated data for the encryption.
    pub fn associated_data(&self) -> Vec<u8> {
        let mut bytes = plan_label(LABEL, self.origin, self.tenant, self.plan);
        bytes.extend_from_slice(self.event_id.as_bytes());
        lp(&mut bytes, self.event_type.as_bytes());
        bytes.extend_from_slice(&self.data_version.to_be_bytes());
        bytes
    }
}
