//! HTTP plumbing that knows no endpoint: request bodies, parameters, paging, response formats and problems.

mod accept;
mod body;
mod memory;
mod paging;
mod parameters;
mod problem;
mod responses;

pub(crate) use self::body::{BodyReader, ReceivedBody};
pub(crate) use self::memory::{AnswerMemory, Counted, JSON, held, held_bytes, held_json};
pub(crate) use self::paging::{EVENT_BYTES, EventList, PAGE_BYTES, next_link, page_bytes};
pub(crate) use self::parameters::{IdPath, Parameters, PlanPath, TilePath, parse_number, single_header};
pub(crate) use self::problem::Problem;
pub(crate) use self::responses::{EventFormat, EventPage, event, page};
