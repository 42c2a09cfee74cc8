//! The log: its newest anchored checkpoint (c2sp.org/tlog-checkpoint), and tiles of its tree and of its entries
//! (c2sp.org/tlog-tiles).

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use sealbus_core::error::ErrorKind;
use sealbus_core::event::Record;
use sealbus_core::log::tile::{FULL_WIDTH, TileId, TileKind, encode_entry_bundle};

use crate::app::App;
use crate::auth::{Caller, Scope};
use crate::http::{PAGE_BYTES, Parameters, Problem, TilePath, held_bytes};

/// The `Cache-Control` of a tile. Its content never changes: the name of a partial tile contains its width.
const CACHE_CONTROL: &str = "private, max-age=31536000, immutable";

/// `GET /log/checkpoint` returns 200 with the checkpoint as a signed note.
///
/// Any token may read it, because it reveals nothing about an event. Errors: `not_found` if no checkpoint is anchored yet.
pub(super) async fn checkpoint(
    State(app): State<Arc<App>>,
    _: Caller,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.finish()?;
    let shown = app.ledger.log().shown_checkpoint().await?;
    let (_, note) = shown.ok_or_else(|| Problem::new(ErrorKind::NotFound, "no checkpoint is anchored yet"))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], note).into_response())
}

/// `GET /log/tile/{*path}` returns 200 with the tile as binary data.
///
/// Any token may read tiles of hashes. Tiles of entries contain the headers of all tenants and need the scope `log.read`.
/// Errors: `not_found` if the tree has no such tile yet, `internal` if events of the tile are missing.
pub(super) async fn tile(
    State(app): State<Arc<App>>,
    caller: Caller,
    TilePath(id): TilePath,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.finish()?;
    let body = match id.kind() {
        TileKind::Hashes(_) => app.ledger.log().hash_tile(id).await?.ok_or_else(no_such_tile)?.encode().into(),
        TileKind::Entries => {
            caller.require(Scope::LogRead)?;
            let memory = app.answers.reserve(&caller.token.name, PAGE_BYTES).await?;
            held_bytes(entry_tile(&app, id).await?, memory)
        }
    };
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, CACHE_CONTROL)];
    Ok((headers, body).into_response())
}

async fn entry_tile(app: &App, id: TileId) -> Result<Vec<u8>, Problem> {
    if !id.is_within(app.ledger.log().newest_tree().await?.size) {
        return Err(no_such_tile());
    }
    let mut next = id.n() * u64::from(FULL_WIDTH);
    let end = next + u64::from(id.width());
    let mut leaves = Vec::new();
    // Records are read and dropped page by page: they contain the data of the events, and their leaves do not.
    while next < end {
        let limit = u32::try_from(end - next).expect("a tile has at most 256 entries");
        let page = app.ledger.history().log_page(None, next, limit).await?;
        let of_tile = page.records.iter().filter(|record| record.log_index.is_some_and(|index| index < end));
        leaves.extend(of_tile.map(Record::leaf));
        next = page.next.unwrap_or(end);
    }
    // If events were deleted from the ledger, a shorter tile must not be returned as if it were a partial one.
    let complete = encode_entry_bundle(&leaves).ok().filter(|_| leaves.len() == usize::from(id.width()));
    complete
        .ok_or_else(|| Problem::new(ErrorKind::Internal, "events of this tile are missing; run `sealbus verify --all`"))
}

fn no_such_tile() -> Problem {
    Problem::new(ErrorKind::NotFound, "the log's tree has no such tile yet")
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use sealbus_core::log::tile::{HashTile, TileId, parse_entry_bundle};
    use serde_json::json;

    use crate::tests::support::{Publisher, send};

    async fn bytes(publisher: &Publisher, path: &str, token: &str) -> Vec<u8> {
        let response = publisher.request_as(Method::GET, path, token).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["cache-control"], super::CACHE_CONTROL);
        response.bytes().await.unwrap().to_vec()
    }

    #[tokio::test]
    async fn tiles_match_the_stored_tree() {
        let publisher = Publisher::start().await;
        publisher.publish("p", &json!(vec![json!({ "type": "any.a" }); 300])).await;
        publisher.anchor().await;
        for path in ["tile/0/000", "tile/0/001.p/45", "tile/0/001.p/3", "tile/1/000.p/1"] {
            let id: TileId = path.parse().unwrap();
            let tile = HashTile::parse(id, &bytes(&publisher, &format!("/log/{path}"), "writer").await).unwrap();
            assert_eq!(tile, publisher.ledger.log().hash_tile(id).await.unwrap().unwrap(), "{path}");
        }
        let id: TileId = "tile/entries/001.p/45".parse().unwrap();
        let bundle = bytes(&publisher, "/log/tile/entries/001.p/45", "auditor").await;
        let level_0 = publisher.ledger.log().hash_tile("tile/0/001.p/45".parse().unwrap()).await.unwrap().unwrap();
        let leaves = parse_entry_bundle(id, &bundle).unwrap();
        let hashes: Vec<_> = leaves.iter().map(|leaf| sealbus_core::log::merkle::leaf_hash(leaf)).collect();
        assert_eq!(hashes, level_0.hashes());
    }

    #[tokio::test]
    async fn a_tile_that_the_tree_does_not_have_is_refused() {
        let publisher = Publisher::start().await;
        publisher.publish("p", &json!({ "type": "any.a" })).await;
        publisher.anchor().await;
        for path in ["/log/tile/0/001", "/log/tile/0/000", "/log/tile/0/000.p/3", "/log/tile/1/000.p/1"] {
            publisher.get(path, "acme").await.assert_problem("not_found");
        }
        publisher.get("/log/tile/entries/000.p/3", "auditor").await.assert_problem("not_found");
        // The index of the first entry of these tiles, 256 times the number, is near 2^32, 2^53, 2^63 and 2^64, or beyond.
        for number in [1_u64 << 24, 1 << 45, 1 << 55, (1 << 56) - 1, 1 << 56, (1 << 56) + 1, 1 << 63, u64::MAX] {
            let digits = format!("{number:021}");
            let groups: Vec<String> = (0..7).map(|group| digits[3 * group..3 * group + 3].to_owned()).collect();
            let first = groups.iter().position(|group| group != "000").unwrap_or(6);
            let path = groups[first..].join("/x");
            let path = if first < 6 { format!("x{path}") } else { path };
            for tile in
                [format!("entries/{path}"), format!("entries/{path}.p/1"), format!("0/{path}"), format!("7/{path}.p/1")]
            {
                let response = publisher.get(&format!("/log/tile/{tile}"), "auditor").await;
                assert!(matches!(response.status, 400 | 404), "{tile}: {response:?}");
            }
        }
        publisher.get("/log/tile/entries/000.p/2", "acme").await.assert_problem("forbidden");
        for path in [
            "/log/tile/0/0",
            "/log/tile/0/000.p/256",
            "/log/tile/64/000",
            "/log/tile/x/000",
            "/log/tile/%FF",
            "/log/tile/0/000%00",
        ] {
            publisher.get(path, "acme").await.assert_field_problem("invalid_field", "path", "format");
        }
    }

    #[tokio::test]
    async fn the_newest_anchored_checkpoint_is_returned() {
        let publisher = Publisher::start().await;
        publisher.get("/log/checkpoint", "acme").await.assert_problem("not_found");
        let note = publisher.anchor().await;
        let response = publisher.request_as(Method::GET, "/log/checkpoint", "writer").send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
        assert_eq!(response.text().await.unwrap(), note.to_string());
        let request = publisher.request_as(Method::GET, "/log/checkpoint?size=1", "acme");
        send(request).await.assert_field_problem("invalid_field", "size", "unknown");
    }
}
