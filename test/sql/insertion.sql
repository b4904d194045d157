\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set catalogue :srcdir '/catalogue.psql'
\i :catalogue
-- Events, and the rows of datasets and sites, are inserted without a statement
-- where their table is as we made it. What its owner adds is obeyed as ever:
-- each test fails where that is not looked at. (No finish(): what it counts by is
-- rolled back with what was tried; the numbers tell as much.)
SELECT plan(37);

-- Publish an item.
CREATE FUNCTION pg_temp.publish(id text) RETURNS text LANGUAGE sql AS $$
    SELECT event_id::text FROM esgf_stac.create_item('CMIP6', pg_temp.document(id))
$$;
-- What stands in a column of the last event.
CREATE FUNCTION pg_temp.last(what text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE format('SELECT (%s)::text FROM esgf_stac.outbox o ORDER BY o.seq DESC LIMIT 1', what) INTO answer;
    RETURN answer;
END
$$;
CREATE FUNCTION pg_temp.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('test.noted', concat_ws(' ', TG_TABLE_NAME, TG_WHEN, TG_OP, TG_LEVEL, to_jsonb(NEW) ->> 'aggregateid', to_jsonb(NEW) ->> 'base_id'), true);
    RETURN NEW;
END
$$;
CREATE FUNCTION pg_temp.noted() RETURNS text LANGUAGE sql AS $$ SELECT current_setting('test.noted', true) $$;

-- As it is: what the defaults and the triggers' answer say.
SELECT is(pg_temp.publish('a1.v1'), pg_temp.last('id'), 'an event has the id that was told');
SELECT is(pg_temp.last('seq'), (SELECT last_value::text FROM esgf_stac.outbox_seq_seq), 'seq comes of its sequence');
SELECT is(pg_temp.last('xid'), pg_current_xact_id()::text, 'xid is that of the transaction');
SAVEPOINT one;
SELECT lives_ok($$SELECT pg_temp.publish('a2.v1')$$, 'in a subtransaction');
SELECT is(pg_temp.last('xid'), pg_current_xact_id()::text, 'it is the same');
ROLLBACK TO one;
SELECT is(pg_temp.last('aggregateid'), 'a1.v1', 'which takes its event along');
SELECT pg_temp.publish('u' || n || '.v1') FROM generate_series(1, 200) n \g /dev/null
SELECT is((SELECT count(*) FROM esgf_stac.outbox WHERE aggregateid ~ '^u' AND id::text ~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab]'), 200::bigint, 'ids are UUIDs of version 7');
SELECT is((SELECT count(DISTINCT right(id::text, 12)) FROM esgf_stac.outbox WHERE aggregateid ~ '^u'), 200::bigint, 'none of which repeats what is random');

-- Columns, their defaults and what is generated.
SAVEPOINT one;
ALTER TABLE esgf_stac.outbox ADD COLUMN mine text DEFAULT 'd', ADD COLUMN size int GENERATED ALWAYS AS (length(aggregateid)) STORED;
SELECT pg_temp.publish('b1.v1') \g /dev/null
SELECT is(pg_temp.last($$concat_ws(' ', mine, size)$$), 'd 5', 'a column of his with a default, and a generated one');
ROLLBACK TO one;
ALTER TABLE esgf_stac.outbox ALTER seq SET START 1000 RESTART SET INCREMENT 7;
SELECT pg_temp.publish('b2.v1') \g /dev/null
SELECT pg_temp.publish('b3.v1') \g /dev/null
SELECT is(pg_temp.last('seq'), '1007', 'a sequence that he changed');
ROLLBACK TO one;
ALTER TABLE esgf_stac.outbox ALTER seq DROP IDENTITY;
CREATE SEQUENCE mine START 5000;
ALTER TABLE esgf_stac.outbox ALTER seq SET DEFAULT nextval('mine');
SELECT pg_temp.publish('b4.v1') \g /dev/null
SELECT is(pg_temp.last('seq'), '5000', 'a sequence of his own');
ROLLBACK TO one;
ALTER TABLE esgf_stac.outbox ALTER xid SET DEFAULT '7';
SELECT pg_temp.publish('b5.v1') \g /dev/null
SELECT is(pg_temp.last('xid'), '7', 'a default of a column of ours');
ROLLBACK TO one;
ALTER TABLE esgf_stac.outbox ALTER reason TYPE varchar(3);
SELECT throws_ok($$SELECT * FROM esgf_stac.transact('[{"method": "DELETE", "collection_id": "CMIP6", "item_id": "a1.v1", "reason": "much too long"}]')$$, '22001', NULL, 'another type');
ROLLBACK TO one;

-- Constraints.
SET LOCAL session_replication_role = replica;
DELETE FROM esgf_stac.outbox;
RESET session_replication_role;
ALTER TABLE esgf_stac.outbox ALTER reason SET NOT NULL;
SELECT throws_ok($$SELECT pg_temp.publish('c1.v1')$$, '23502', NULL, 'NOT NULL');
ROLLBACK TO one;
ALTER TABLE esgf_stac.outbox ADD CHECK (aggregateid <> 'c2.v1');
SELECT throws_ok($$SELECT pg_temp.publish('c2.v1')$$, '23514', NULL, 'a CHECK');
ROLLBACK TO one;
CREATE TABLE known (id text PRIMARY KEY);
ALTER TABLE esgf_stac.outbox ADD FOREIGN KEY (aggregateid) REFERENCES known NOT VALID;
SELECT throws_ok($$SELECT pg_temp.publish('c3.v1')$$, '23503', NULL, 'a foreign key');
ROLLBACK TO one;

-- Indexes.
CREATE UNIQUE INDEX mine ON esgf_stac.outbox (lower(aggregateid)) WHERE type = 'item.published';
SELECT pg_temp.publish('d1.v1') \g /dev/null
SET LOCAL enable_seqscan = off;
SELECT is((SELECT count(*) FROM esgf_stac.outbox WHERE lower(aggregateid) = 'd1.v1' AND type = 'item.published'), 1::bigint, 'an index of his');
SELECT throws_ok($$SELECT pg_temp.publish('D1.v1')$$, '23505', NULL, 'and its uniqueness');
ROLLBACK TO one;
ALTER TABLE esgf_stac.outbox ADD EXCLUDE USING btree (aggregateid WITH =, version WITH =) DEFERRABLE INITIALLY DEFERRED;
SELECT lives_ok($$SELECT pg_temp.publish('d2.v1')$$, 'a deferred constraint');
SELECT lives_ok('SET CONSTRAINTS ALL IMMEDIATE', 'is met');
ROLLBACK TO one;

-- Triggers, rules, policies.
CREATE TRIGGER note BEFORE INSERT ON esgf_stac.outbox FOR EACH ROW EXECUTE FUNCTION pg_temp.note();
SELECT is((SELECT pg_temp.noted() FROM pg_temp.publish('e1.v1')), 'outbox BEFORE INSERT ROW e1.v1', 'a trigger before a row');
ROLLBACK TO one;
CREATE TRIGGER note AFTER INSERT ON esgf_stac.outbox FOR EACH ROW EXECUTE FUNCTION pg_temp.note();
SELECT is((SELECT pg_temp.noted() FROM pg_temp.publish('e2.v1')), 'outbox AFTER INSERT ROW e2.v1', 'a trigger after a row');
ROLLBACK TO one;
CREATE TRIGGER note BEFORE INSERT ON esgf_stac.outbox EXECUTE FUNCTION pg_temp.note();
SELECT is((SELECT pg_temp.noted() FROM pg_temp.publish('e3.v1')), 'outbox BEFORE INSERT STATEMENT', 'a trigger before a statement');
ROLLBACK TO one;
CREATE TRIGGER note AFTER INSERT ON esgf_stac.outbox REFERENCING NEW TABLE AS new FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.note();
SELECT is((SELECT pg_temp.noted() FROM pg_temp.publish('e4.v1')), 'outbox AFTER INSERT STATEMENT', 'a trigger after a statement');
ROLLBACK TO one;
CREATE TABLE copied (id text);
CREATE RULE copy AS ON INSERT TO esgf_stac.outbox DO ALSO INSERT INTO copied VALUES (NEW.aggregateid);
SELECT pg_temp.publish('e5.v1') \g /dev/null
SELECT is((SELECT string_agg(id, ',') FROM copied), 'e5.v1', 'a rule');
ROLLBACK TO one;
ALTER TABLE esgf_stac.outbox ENABLE ROW LEVEL SECURITY;
SELECT lives_ok($$SELECT pg_temp.publish('e6.v1')$$, 'policies, which do not concern the owner');
ROLLBACK TO one;

-- An owner of its own: the other tables are not his.
CREATE ROLE outbox_owner;
ALTER TABLE esgf_stac.outbox OWNER TO outbox_owner;
SELECT pg_temp.publish('e7.v1') \g /dev/null
SELECT lives_ok($$SELECT pg_temp.publish('e8.v1')$$, 'another owner, who is that of no other table');
ROLLBACK TO one;

-- Datasets.
CREATE TRIGGER note BEFORE INSERT ON esgf_stac.dataset FOR EACH ROW EXECUTE FUNCTION pg_temp.note();
SELECT is((SELECT pg_temp.noted() FROM pg_temp.publish('f1.v1')), 'dataset BEFORE INSERT ROW f1', 'a trigger of datasets');
ROLLBACK TO one;
ALTER TABLE esgf_stac.dataset ADD COLUMN mine text DEFAULT 'd';
SELECT is((SELECT mine FROM pg_temp.publish('f2.v1'), esgf_stac.dataset WHERE base_id = 'f2'), NULL, 'a column of datasets, in the snapshot before');
SELECT is((SELECT mine FROM esgf_stac.dataset WHERE base_id = 'f2'), 'd', 'and in that after');
ROLLBACK TO one;

-- The version that a dataset is made for need not come: a trigger keeps it out, and may bring another one.
CREATE FUNCTION pg_temp.replace() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id = 'g2.v1' THEN
        PERFORM pg_temp.publish('g2.v2');
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER z_replace BEFORE INSERT ON esgf_stac.item FOR EACH ROW WHEN (NEW.id IN ('g1.v1', 'g2.v1')) EXECUTE FUNCTION pg_temp.replace();
INSERT INTO esgf_stac.item (collection_id, id, document) VALUES ('CMIP6', 'g1.v1', pg_temp.document('g1.v1')), ('CMIP6', 'g2.v1', pg_temp.document('g2.v1'));
SELECT throws_ok($$SELECT esgf_stac.create_item('CMIP6', pg_temp.document('g1.v1'))$$, '27000', 'item "g1.v1" is kept out of its table', 'a verb says that it is kept out');
SELECT throws_ok($$SELECT esgf_stac.import_items(ARRAY[pg_temp.document('g1.v1', '{"collection": "CMIP6"}')])$$, '27000', 'item "g1.v1" is kept out of its table', 'an import, too');
SELECT is((SELECT latest_id FROM esgf_stac.dataset WHERE base_id = 'g1'), NULL, 'a version that a trigger keeps out is not latest');
SELECT is((SELECT latest_id FROM esgf_stac.dataset WHERE base_id = 'g2'), 'g2.v2', 'nor is it where the trigger brings another one');
ROLLBACK TO one;

-- What a statement of many rows remembers of each until its end is small, and gone then.
CREATE FUNCTION pg_temp.touched() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('test.noted', (SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name = 'esgf_stac touched datasets')::text, true);
    RETURN NULL;
END
$$;
CREATE TRIGGER touched AFTER INSERT ON esgf_stac.item FOR EACH ROW WHEN (NEW.id = 'm2000.v1') EXECUTE FUNCTION pg_temp.touched();
INSERT INTO esgf_stac.item (collection_id, id, document) SELECT 'CMIP6', 'm' || n || '.v1', pg_temp.document('m' || n || '.v1') FROM generate_series(1, 2000) n;
SELECT cmp_ok(pg_temp.noted()::bigint, '<', 2000 * 600::bigint, 'of 2,000 rows less than 600 bytes each are kept');
SELECT is((SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name = 'esgf_stac touched datasets'), NULL, 'and nothing after it');
SELECT is((SELECT concat_ws(' ', count(*), count(latest_id), count(institution)) FROM esgf_stac.dataset WHERE base_id ~ '^m'), '2000 2000 2000', 'which left all datasets as they are to be');
ROLLBACK;
