//! Changing the database as a superuser does, without the triggers.

use sealbus_core::event::Record;
use sealbus_core::log::checkpoint::Checkpoint;
use sealbus_core::log::merkle::leaf_hash;
use sealbus_core::log::note::Note;
use sealbus_core::log::tile::{EdgeTiles, TileKind};
use sealbus_core::partition::PlanKey;
use sealbus_sealer::anchors::Anchor as _;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{ORIGIN, Scene, now, place};

impl Scene {
    /// Runs SQL as a superuser, without the triggers.
    pub(crate) async fn tamper(&self, sql: &str) {
        self.postgres.admin(&format!("SET session_replication_role = replica; {sql}")).await;
    }

    /// Changes columns of the event at a place such as `acme/order-1/2`.
    pub(crate) async fn change(&self, place: &str, change: &str) {
        self.tamper(&format!("UPDATE sealbus.events SET {change} WHERE {}", row_at(place))).await;
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        let mut connection = PgConnection::connect(&self.postgres.admin_url()).await.unwrap();
        sqlx::raw_sql("SET session_replication_role = replica").execute(&mut connection).await.unwrap();
        connection
    }

    /// Writes a record at its place, replacing an existing one. The leaf is not changed.
    pub(crate) async fn put(&self, record: &Record) {
        let (header, v1) = (&record.header, record.v1.as_ref());
        let mut connection = self.connect().await;
        let add_plan = "INSERT INTO sealbus.plans (tenant, plan, partition) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        let partition = PlanKey::of(&header.tenant, &header.plan).partition(self.ledger.deployment().partitions);
        let add_plan =
            sqlx::query(add_plan).bind(&header.tenant).bind(&header.plan).bind(i32::try_from(partition).unwrap());
        add_plan.execute(&mut connection).await.unwrap();
        let clear = format!("DELETE FROM sealbus.events WHERE {}", row_at(&place(record)));
        sqlx::query(AssertSqlSafe(clear)).execute(&mut connection).await.unwrap();
        let insert =
            "INSERT INTO sealbus.events (plan_no, seq, tenant, event_id, type, data_version, occurred, recorded, source, actor,
                correlation_id, causation_id, payload_mode, payload_size, payload_hash, metadata_hash, prev, kid, event_hash, mac,
                sig, request_mac, payload, metadata, v1_payload_hash, v1_prev_hash, v1_signature)
             SELECT plan_no, $3, $1, $4, $5, $6, $7::timestamptz, $8::timestamptz, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                $19, $20, $21, $22, $23::json, $24::json, $25, $26, $27
             FROM sealbus.plans WHERE tenant = $1 AND plan = $2";
        let number = |number: u32| i32::try_from(number).unwrap();
        sqlx::query(insert)
            .bind(&header.tenant)
            .bind(&header.plan)
            .bind(i64::try_from(header.seq).unwrap())
            .bind(header.event_id)
            .bind(&header.event_type)
            .bind(number(header.data_version))
            .bind(time(header.occurred))
            .bind(time(header.recorded))
            .bind(&header.source)
            .bind(&header.actor)
            .bind(&header.correlation_id)
            .bind(&header.causation_id)
            .bind(i16::from(header.payload_mode.code()))
            .bind(number(header.payload_size))
            .bind(header.payload_hash.as_bytes().as_slice())
            .bind(header.metadata_hash.as_bytes().as_slice())
            .bind(header.prev.as_bytes().as_slice())
            .bind(header.kid.as_str())
            .bind(record.event_hash.as_bytes().as_slice())
            .bind(&record.mac)
            .bind(&record.sig)
            .bind(&record.request_mac)
            .bind(&record.payload)
            .bind(&record.metadata)
            .bind(v1.map(|v1| v1.payload_hash.clone()))
            .bind(v1.and_then(|v1| v1.prev_hash.clone()))
            .bind(v1.map(|v1| v1.signature.clone()))
            .execute(&mut connection)
            .await
            .unwrap();
    }

    /// Replaces the log with one of these records in this order, as someone who has its key and the database can. The anchors are
    /// not changed.
    pub(crate) async fn rebuild_log(&self, records: &[Record]) -> Note {
        let mut connection = self.connect().await;
        sqlx::raw_sql("DELETE FROM sealbus.log_leaves; DELETE FROM sealbus.tiles; DELETE FROM sealbus.log_roots; DELETE FROM sealbus.seal_queue")
            .execute(&mut connection)
            .await
            .unwrap();
        let log_id = self.ledger.deployment().log_id;
        let hashes: Vec<_> = records.iter().map(|record| leaf_hash(&record.leaf())).collect();
        for (index, (record, hash)) in records.iter().zip(&hashes).enumerate() {
            let insert = "INSERT INTO sealbus.log_leaves (log_id, leaf_index, plan_no, seq, partition, leaf_hash)
                          SELECT $1, $2, plan_no, $3, partition, $4 FROM sealbus.plans WHERE tenant = $5 AND plan = $6";
            sqlx::query(insert)
                .bind(log_id)
                .bind(i64::try_from(index).unwrap())
                .bind(i64::try_from(record.header.seq).unwrap())
                .bind(hash.as_bytes().as_slice())
                .bind(&record.header.tenant)
                .bind(&record.header.plan)
                .execute(&mut connection)
                .await
                .unwrap();
        }
        let mut edge = EdgeTiles::default();
        for tile in edge.append(&hashes).unwrap() {
            let TileKind::Hashes(level) = tile.id().kind() else { unreachable!("a tree has hash tiles") };
            sqlx::query("INSERT INTO sealbus.tiles (log_id, level, index, width, hashes) VALUES ($1, $2, $3, $4, $5)")
                .bind(log_id)
                .bind(i16::from(level))
                .bind(i64::try_from(tile.id().n()).unwrap())
                .bind(i16::try_from(tile.id().width()).unwrap())
                .bind(tile.encode())
                .execute(&mut connection)
                .await
                .unwrap();
        }
        let note = self.log.sign(&Checkpoint::new(ORIGIN, edge.size(), edge.root()).unwrap(), now()).unwrap();
        sqlx::query("INSERT INTO sealbus.log_roots (log_id, size, root, prev_size, note) VALUES ($1, $2, $3, 0, $4)")
            .bind(log_id)
            .bind(i64::try_from(edge.size()).unwrap())
            .bind(edge.root().as_bytes().as_slice())
            .bind(note.to_string())
            .execute(&mut connection)
            .await
            .unwrap();
        note
    }

    /// Replaces all anchored notes with this one, as if the changes had been made before anything was anchored.
    pub(crate) async fn anchor_only(&self, note: &Note) {
        std::fs::remove_file(self.path("anchors")).unwrap();
        self.anchors().keep(note).await.unwrap();
    }
}

/// Returns an SQL condition for the row at a place.
pub(crate) fn row_at(place: &str) -> String {
    let (plan, seq) = place.rsplit_once('/').unwrap();
    let (tenant, plan) = plan.split_once('/').unwrap();
    format!(
        "seq = {seq} AND plan_no = (SELECT plan_no FROM sealbus.plans WHERE tenant = '{tenant}' AND plan = '{plan}')"
    )
}

fn time(time: sealbus_core::timestamp::Timestamp) -> String {
    time.to_string()
}
