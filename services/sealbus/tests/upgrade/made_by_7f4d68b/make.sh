# Run by `sealbus dev --exec` of commit 7f4d68b, see README.md.
set -e
sql() { psql -qAt "$SEALBUS_ADMIN_DATABASE_URL" -c "$1"; }
for n in 1 2 3 4 5; do sealbus publish order-1 payment.settled "{\"amount\":\"$n.00\"}"; done
for n in 1 2; do sealbus publish order-2 payment.settled "{\"amount\":\"$n.00\"}" --tenant other; done
sealbus publish order-3 payment.settled '{"amount":"3.00"}'
sealbus publish letters private.note '{"who":"Ada","text":"forgotten"}'
sealbus publish letters private.note '{"who":"Grace","text":"kept"}'
sealbus publish receipts payment.settled '{"amount":"10.00"}' --wait sealed --receipt event.receipt
printf 'Ada\n' | sealbus erase --subject - --reason 'upgrade fixture' --actor officer
until [ "$(sql "SELECT count(*) FROM sealbus.positions WHERE state = 'dead'")" = 1 ]; do sleep 1; done
until [ "$(sql "SELECT count(*) FROM sealbus.outbox")" = 0 ]; do sleep 1; done
sealbus verify --all --wait
sealbus export --all --out bundle.tar
sealbus trust --out pins
pg_dump --dbname "$SEALBUS_ADMIN_DATABASE_URL" --schema sealbus --schema public --rows-per-insert 100 --file ledger.sql
cp "$SEALBUS_KEYRING" keyring.json
