-- Rules are told to the items that are there by jobs: walks by primary key, page by
-- page, which go on where they stopped.

CREATE FUNCTION esgf_stac_internal.is_in_force(valid_from timestamptz, valid_to timestamptz) RETURNS boolean
    LANGUAGE sql VOLATILE PARALLEL SAFE
BEGIN ATOMIC
    SELECT valid_from <= clock_timestamp() AND (valid_to IS NULL OR clock_timestamp() < valid_to);
END;
COMMENT ON FUNCTION esgf_stac_internal.is_in_force(timestamptz, timestamptz) IS 'does a rule hold now?';
REVOKE ALL ON FUNCTION esgf_stac_internal.is_in_force(timestamptz, timestamptz) FROM PUBLIC;

CREATE FUNCTION esgf_stac.apply_rule() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
BEGIN
    -- Of a rule that ended by itself refresh_rules() may be making the job.
    IF TG_OP = 'INSERT' OR (NEW.closed_by IS NOT NULL AND OLD.closed_by IS NULL) THEN
        INSERT INTO esgf_stac.rule_job (rule_id, ending) VALUES (NEW.id, TG_OP = 'UPDATE')
            ON CONFLICT ON CONSTRAINT rule_job_rule_id_ending_key DO NOTHING;
    END IF;
    IF TG_OP = 'INSERT' THEN
        -- The site's streams send what the rule adds to them. Who drops one waits, and then fails the job, too.
        INSERT INTO esgf_stac.iteration_job (stream, event_type, collections, filter, payload)
            SELECT s.name, 'item.iterated', NEW.collections, NEW.filter, 'document' FROM esgf_stac.stream s WHERE s.node = NEW.node FOR KEY SHARE;
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION esgf_stac.apply_rule() FROM PUBLIC;
COMMENT ON FUNCTION esgf_stac.apply_rule() IS 'trigger of replication_rule: makes the jobs that tell items, and streams, of a rule, and items of its end';

-- Judges an item anew by the rules of a node; false: somebody writes it.
CREATE FUNCTION esgf_stac_internal.refresh_site_item(node text, collection_id text, item_id text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'esgf_refresh_site_item' LANGUAGE C STRICT;
COMMENT ON FUNCTION esgf_stac_internal.refresh_site_item(text, text, text) IS 'judges an item anew by the rules of a node; false: it is in the hand of a writer';
REVOKE ALL ON FUNCTION esgf_stac_internal.refresh_site_item(text, text, text) FROM PUBLIC;

-- What a transaction wrote is seen before it has told everybody of it, which it has
-- done when its lock on itself is gone.
CREATE FUNCTION esgf_stac_internal.has_told(transaction xid8) RETURNS boolean
    LANGUAGE sql VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
    SELECT NOT EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.transactionid = transaction::xid);
END;
COMMENT ON FUNCTION esgf_stac_internal.has_told(xid8) IS 'has a transaction ended, and told everybody of what it wrote?';
REVOKE ALL ON FUNCTION esgf_stac_internal.has_told(xid8) FROM PUBLIC;

-- May a job begin? No writer may be left who began without its rule. Who writes
-- locks his own transaction before he asks for rules; a snapshot would not show
-- the youngest of them.
CREATE FUNCTION esgf_stac_internal.may_begin(job bigint) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM esgf_stac.rule_job j WHERE j.id = job AND j.fence IS NULL AND NOT esgf_stac_internal.has_told(j.xid)) THEN
        RETURN false;
    END IF;
    -- One of the future is that of the server from which the catalogue was restored.
    UPDATE esgf_stac.rule_job j SET fence = esgf_stac_internal.next_transaction()
     WHERE j.id = job AND (j.fence IS NULL OR j.fence > esgf_stac_internal.next_transaction());
    -- Ids of transactions are compared round a circle.
    RETURN NOT EXISTS (SELECT FROM esgf_stac.rule_job j, pg_locks l
                        WHERE j.id = job AND l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.pid IS DISTINCT FROM pg_backend_pid()
                          AND mod(mod(j.fence::text::numeric, 4294967296) - l.transactionid::text::numeric + 4294967296, 4294967296) BETWEEN 1 AND 2147483647);
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.may_begin(bigint) IS 'has every transaction ended that ran when a rule was set?';
REVOKE ALL ON FUNCTION esgf_stac_internal.may_begin(bigint) FROM PUBLIC;

-- The next items of a job, in the order of their keys: of a rule's end those whose
-- rows name it.
CREATE FUNCTION esgf_stac_internal.rule_job_page(job bigint, max_items int) RETURNS TABLE (collection_id text, item_id text)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    walk record;
    collection text;
    missing int := max_items;
    taken bigint;
BEGIN
    SELECT r.node, r.collections, j.ending, j.rule_id, j.position INTO walk
      FROM esgf_stac.rule_job j JOIN esgf_stac.replication_rule r ON r.id = j.rule_id WHERE j.id = job;
    FOR collection IN SELECT DISTINCT c COLLATE "C" AS id FROM unnest(coalesce(walk.collections, ARRAY(SELECT id FROM esgf_stac.collection))) c
                       WHERE walk.position IS NULL OR c COLLATE "C" >= walk.position[1] ORDER BY id LOOP
        IF walk.ending THEN
            RETURN QUERY SELECT s.collection_id, s.item_id FROM esgf_stac.site_item s
                          WHERE s.collection_id = collection AND (walk.position IS NULL OR collection <> walk.position[1] OR s.item_id > walk.position[2])
                            AND s.node = walk.node AND walk.rule_id = ANY (s.rules)
                          ORDER BY s.item_id LIMIT missing;
        ELSE
            RETURN QUERY SELECT i.collection_id, i.id FROM esgf_stac.item i
                          WHERE i.collection_id = collection AND (walk.position IS NULL OR collection <> walk.position[1] OR i.id > walk.position[2]) AND NOT i.deleted
                          ORDER BY i.id LIMIT missing;
        END IF;
        GET DIAGNOSTICS taken = ROW_COUNT;
        missing := missing - taken;
        EXIT WHEN missing <= 0;
    END LOOP;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.rule_job_page(bigint, int) IS 'the next items of a job that tells of a rule, in the order of their keys';
REVOKE ALL ON FUNCTION esgf_stac_internal.rule_job_page(bigint, int) FROM PUBLIC;

-- How many items a job will look at, as the planner estimates.
CREATE FUNCTION esgf_stac_internal.rule_job_total(job bigint) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    walk record;
    plan json;
BEGIN
    SELECT r.node, r.collections, j.ending INTO walk
      FROM esgf_stac.rule_job j JOIN esgf_stac.replication_rule r ON r.id = j.rule_id WHERE j.id = job;
    IF walk.ending THEN
        RETURN NULL;
    END IF;
    EXECUTE 'EXPLAIN (FORMAT JSON) SELECT FROM esgf_stac.item WHERE NOT deleted' ||
            coalesce(format(' AND collection_id = ANY (%L::text[])', walk.collections), '') INTO plan;
    RETURN (plan #>> '{0,Plan,Plan Rows}')::numeric;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.rule_job_total(bigint) IS 'how many items a job that tells of a rule will look at, as estimated';
REVOKE ALL ON FUNCTION esgf_stac_internal.rule_job_total(bigint) FROM PUBLIC;

-- Looks at items, given as collections and ids in turn; answers those that are in the hand of a writer.
CREATE FUNCTION esgf_stac_internal.refresh_site_items(node text, items text[]) RETURNS text[]
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    skipped text[] := ARRAY[]::text[];
BEGIN
    FOR n IN 1 .. cardinality(items) BY 2 LOOP
        IF NOT esgf_stac_internal.refresh_site_item(node, items[n], items[n + 1]) THEN
            skipped := skipped || items[n:n + 1];
        END IF;
    END LOOP;
    RETURN skipped;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.refresh_site_items(text, text[]) IS 'judges items anew by the rules of a node; answers those that are in the hand of a writer';
REVOKE ALL ON FUNCTION esgf_stac_internal.refresh_site_items(text, text[]) FROM PUBLIC;

-- Runs a job over so many items, and answers how many it looked at.
CREATE FUNCTION esgf_stac_internal.run_rule_job(job bigint, max_items int) RETURNS int
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rule record;
    in_hand text[];
    page text[];
    size int;
    looked_at int := 0;
BEGIN
    IF NOT esgf_stac_internal.may_begin(job) THEN
        RETURN 0;
    END IF;
    SELECT r.id, r.node, j.ending INTO rule FROM esgf_stac.rule_job j JOIN esgf_stac.replication_rule r ON r.id = j.rule_id WHERE j.id = job;
    UPDATE esgf_stac.rule_job j
       SET state = 'running', started = clock_timestamp(), items_total = esgf_stac_internal.rule_job_total(job)
     WHERE j.id = job AND j.started IS NULL;
    SELECT esgf_stac_internal.refresh_site_items(rule.node, j.skipped) INTO in_hand FROM esgf_stac.rule_job j WHERE j.id = job;
    LOOP
        size := least(max_items - looked_at, 1000);
        EXIT WHEN size = 0 OR cardinality(in_hand) > 2000;
        SELECT array_agg(k.part ORDER BY p.n, k.m)
          FROM esgf_stac_internal.rule_job_page(job, size) WITH ORDINALITY AS p(collection_id, item_id, n), LATERAL (VALUES (1, p.collection_id), (2, p.item_id)) AS k(m, part)
          INTO page;
        EXIT WHEN page IS NULL;
        in_hand := in_hand || esgf_stac_internal.refresh_site_items(rule.node, page);
        looked_at := looked_at + cardinality(page) / 2;
        UPDATE esgf_stac.rule_job j SET position = page[cardinality(page) - 1:], items_done = j.items_done + cardinality(page) / 2 WHERE j.id = job;
    END LOOP;
    UPDATE esgf_stac.rule_job j SET skipped = in_hand WHERE j.id = job;
    IF page IS NULL AND size > 0 AND in_hand = '{}' THEN
        UPDATE esgf_stac.rule_job j SET state = 'completed', finished = clock_timestamp() WHERE j.id = job;
        -- A rule may end while the last items are told of its beginning: of its end they have yet to hear.
        UPDATE esgf_stac.replication_rule r
           SET applied = CASE WHEN rule.ending THEN clock_timestamp() ELSE least(clock_timestamp(), r.valid_to - interval '1 microsecond') END
         WHERE r.id = rule.id;
    END IF;
    RETURN looked_at;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.run_rule_job(bigint, int) IS 'runs a job that tells of a rule over so many items';
REVOKE ALL ON FUNCTION esgf_stac_internal.run_rule_job(bigint, int) FROM PUBLIC;

CREATE FUNCTION esgf_stac.refresh_rules(max_items int DEFAULT 10000) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    left_over int := max_items;
    job record;
    last_job bigint := 0;
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_own_rights();
    IF max_items IS NULL OR max_items < 1 THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'rule_job', 'max_items must be at least 1', hint => 'It bounds how many items are looked at in one transaction; the default is 10000.');
    ELSIF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM esgf_stac_internal.refuse('operation-not-permitted', 'rule_job', 'rules are applied in transactions of READ COMMITTED only',
            hint => 'A snapshot that stays shows neither which writers have ended nor what they wrote.');
    END IF;
    INSERT INTO esgf_stac.rule_job (rule_id, ending)
        SELECT r.id, true FROM esgf_stac.replication_rule r
         WHERE r.valid_to <= clock_timestamp() AND (r.applied IS NULL OR r.applied < r.valid_to)
           AND NOT EXISTS (SELECT FROM esgf_stac.rule_job j WHERE j.rule_id = r.id AND j.ending)
        ON CONFLICT ON CONSTRAINT rule_job_rule_id_ending_key DO NOTHING;
    -- One after another, so that others find those that we do not run.
    LOOP
        SELECT j.* INTO job FROM esgf_stac.rule_job j WHERE j.finished IS NULL AND j.id > last_job ORDER BY j.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        last_job := job.id;
        UPDATE esgf_stac.rule_job j SET updated = clock_timestamp() WHERE j.id = job.id;
        IF NOT job.ending AND NOT (SELECT esgf_stac_internal.is_in_force(r.valid_from, r.valid_to) FROM esgf_stac.replication_rule r WHERE r.id = job.rule_id) THEN
            UPDATE esgf_stac.rule_job j SET state = 'cancelled', finished = clock_timestamp() WHERE j.id = job.id;
        ELSIF left_over > 0 THEN
            BEGIN
                left_over := left_over - esgf_stac_internal.run_rule_job(job.id, left_over);
                UPDATE esgf_stac.rule_job j SET error = NULL WHERE j.id = job.id AND j.error IS NOT NULL;
            EXCEPTION WHEN OTHERS THEN
                UPDATE esgf_stac.rule_job j SET error = left(SQLERRM, 1000) WHERE j.id = job.id;
            END;
        END IF;
    END LOOP;
    RETURN (SELECT count(*) FROM esgf_stac.rule_job j WHERE j.finished IS NULL);
END
$$;
COMMENT ON FUNCTION esgf_stac.refresh_rules(int) IS 'tells so many items of rules that were set, or ended; answers how many jobs are unfinished';
REVOKE ALL ON FUNCTION esgf_stac.refresh_rules(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac.refresh_rules(int) TO esgf_stac_admin, esgf_stac_relay;
