-- Iteration jobs: the items of a stream, all or some, sent once more, under a type
-- of their own and perhaps to a place of their own. Administrators start and steer
-- them; relays take them, one worker a job, and walk over the items by primary key.

CREATE TYPE esgf_stac.iteration AS (
    id uuid,
    stream text,
    event_type text,
    target text,
    collections text[],
    filter jsonpath,
    node text,
    changed_since timestamptz,
    payload text,
    max_rate int,
    state text,
    "position" text[],
    items_sent bigint,
    items_total bigint,
    as_of timestamptz,
    created timestamptz,
    started timestamptz,
    heartbeat timestamptz,
    finished timestamptz,
    error text
);
COMMENT ON TYPE esgf_stac.iteration IS 'an iteration job, as its row in esgf_stac.iteration_job says it';
COMMENT ON COLUMN esgf_stac.iteration.id IS 'its name';
COMMENT ON COLUMN esgf_stac.iteration.stream IS 'whose items it sends';
COMMENT ON COLUMN esgf_stac.iteration.event_type IS 'the type of its lines';
COMMENT ON COLUMN esgf_stac.iteration.target IS 'a place of its own at the sink of a relay that allows it; null: where the stream goes';
COMMENT ON COLUMN esgf_stac.iteration.collections IS 'of these collections alone; null: of all';
COMMENT ON COLUMN esgf_stac.iteration.filter IS 'what stored documents must satisfy; null: nothing';
COMMENT ON COLUMN esgf_stac.iteration.node IS 'of what this data node has alone; null: of all';
COMMENT ON COLUMN esgf_stac.iteration.changed_since IS 'of what was changed then or later alone; null: of all';
COMMENT ON COLUMN esgf_stac.iteration.payload IS 'document, or id: then lines have no document';
COMMENT ON COLUMN esgf_stac.iteration.max_rate IS 'items a second; null: as fast as can be';
COMMENT ON COLUMN esgf_stac.iteration.state IS 'pending, running, paused, completed, cancelled or failed; the last three are for ever';
COMMENT ON COLUMN esgf_stac.iteration."position" IS 'collection and item that were looked at last; null: none';
COMMENT ON COLUMN esgf_stac.iteration.items_sent IS 'sent, and durable, up to there';
COMMENT ON COLUMN esgf_stac.iteration.items_total IS 'how many that will be, at a guess; null: not known';
COMMENT ON COLUMN esgf_stac.iteration.as_of IS 'what was stamped before is in the job, or was rolled back';
COMMENT ON COLUMN esgf_stac.iteration.created IS 'when it was asked for';
COMMENT ON COLUMN esgf_stac.iteration.started IS 'when a relay began';
COMMENT ON COLUMN esgf_stac.iteration.heartbeat IS 'when its relay last wrote';
COMMENT ON COLUMN esgf_stac.iteration.finished IS 'when it was over, and where it writes that is said';
COMMENT ON COLUMN esgf_stac.iteration.error IS 'why it failed, or waits';

-- Which items a job sends: what its stream asks, and what it asks itself.
CREATE TYPE esgf_stac_internal.selection AS (
    stream text,
    collections text[],
    filter jsonpath,
    node text,
    changed_since timestamptz
);
COMMENT ON TYPE esgf_stac_internal.selection IS 'which items an iteration job sends';
COMMENT ON COLUMN esgf_stac_internal.selection.stream IS 'its stream';
COMMENT ON COLUMN esgf_stac_internal.selection.collections IS 'its own; null: all';
COMMENT ON COLUMN esgf_stac_internal.selection.filter IS 'its own; null: none';
COMMENT ON COLUMN esgf_stac_internal.selection.node IS 'the data node that has the items; null: any';
COMMENT ON COLUMN esgf_stac_internal.selection.changed_since IS 'when they were changed, or later; null: whenever';

CREATE FUNCTION esgf_stac_internal.is_selected(selection esgf_stac_internal.selection, collection_id text, deleted boolean, nodes text[], updated timestamptz, document jsonb) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL RESTRICTED
BEGIN ATOMIC
    SELECT NOT deleted
           AND ((selection).node IS NULL OR (selection).node = ANY (nodes))
           AND ((selection).changed_since IS NULL OR updated >= (selection).changed_since)
           AND ((selection).collections IS NULL OR collection_id = ANY ((selection).collections))
           AND esgf_stac_internal.is_in_stream((selection).stream, collection_id, document, nodes)
           AND ((selection).filter IS NULL OR esgf_stac_internal.satisfies(document, (selection).filter));
END;
COMMENT ON FUNCTION esgf_stac_internal.is_selected(esgf_stac_internal.selection, text, boolean, text[], timestamptz, jsonb) IS 'is an item, by its stored document, one that an iteration job sends?';

CREATE FUNCTION esgf_stac_internal.iteration_selection(job uuid) RETURNS esgf_stac_internal.selection
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    selection esgf_stac_internal.selection;
BEGIN
    SELECT s.name, j.collections, j.filter, j.node, j.changed_since INTO STRICT selection
      FROM esgf_stac.iteration_job j JOIN esgf_stac.stream s ON s.name = j.stream
     WHERE j.id = job;
    RETURN selection;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.iteration_selection(uuid) IS 'which items an iteration job sends';

-- How many that are: counted while items are few, then estimated; null where a
-- filter would have to be judged on very many.
CREATE FUNCTION esgf_stac_internal.iteration_total(selection esgf_stac_internal.selection) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    many CONSTANT boolean := EXISTS (SELECT FROM esgf_stac.item OFFSET 10000);
    s esgf_stac.stream;
    plan jsonb;
BEGIN
    IF NOT many THEN
        RETURN (SELECT count(*) FROM esgf_stac.item i
                 WHERE esgf_stac_internal.is_selected(selection, i.collection_id, i.deleted, i.nodes, i.updated, i.document));
    END IF;
    SELECT t.* INTO STRICT s FROM esgf_stac.stream t WHERE t.name = selection.stream;
    IF num_nonnulls(s.filter, s.node, selection.filter) > 0 THEN
        RETURN NULL;
    END IF;
    EXECUTE 'EXPLAIN (FORMAT JSON) SELECT FROM esgf_stac.item i WHERE NOT i.deleted'
            || coalesce(' AND i.collection_id = ANY (' || quote_literal(s.collections) || '::text[])', '')
            || coalesce(' AND i.collection_id = ANY (' || quote_literal(selection.collections) || '::text[])', '')
            || coalesce(' AND i.nodes @> ARRAY[' || quote_literal(selection.node) || ']', '')
            || coalesce(' AND i.updated >= ' || quote_literal(selection.changed_since), '') INTO plan;
    RETURN (plan #>> '{0,Plan,Plan Rows}')::bigint;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.iteration_total(esgf_stac_internal.selection) IS 'how many items an iteration job will send, at a guess where they are many';

-- Event types that say something else: those of changes, of a snapshot, and of what is said of a job itself.
CREATE FUNCTION esgf_stac_internal.is_own_event_type(type text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT starts_with(type, 'iteration.')
           OR type = ANY ('{item.published,item.updated,item.superseded,item.retracted,item.reinstated,item.replica_added,item.replica_removed,item.deleted,item.restored,item.reissued,item.seeded,collection.published,collection.updated,collection.deleted}'::text[]);
END;
COMMENT ON FUNCTION esgf_stac_internal.is_own_event_type(text) IS 'is that a type of event which the catalogue, or its relay, gives itself?';

-- ---------------------------------------------------------------- for administrators

CREATE FUNCTION esgf_stac.start_iteration(stream text, event_type text DEFAULT 'item.iterated', target text DEFAULT NULL, collections text[] DEFAULT NULL, filter jsonpath DEFAULT NULL,
    node text DEFAULT NULL, changed_since timestamptz DEFAULT NULL, payload text DEFAULT 'document', max_rate int DEFAULT NULL) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    job uuid;
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_own_rights();
    -- Who drops the stream waits, and then fails the job, too.
    PERFORM FROM esgf_stac.stream s WHERE s.name = $1 FOR KEY SHARE;
    IF NOT FOUND THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'stream', format('stream %s does not exist', coalesce(quote_literal(esgf_stac_internal.one_line($1)), 'NULL')),
            hint => 'The view esgf_stac.stream_status lists the streams.');
    ELSIF event_type IS NULL OR event_type !~ '^[A-Za-z0-9_.-]{1,64}$' OR esgf_stac_internal.is_own_event_type(event_type) THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'iteration_job', format('no type for the events of a job: %s', coalesce(quote_literal(esgf_stac_internal.one_line(event_type)), 'NULL')),
            hint => 'A type has 1 to 64 of the characters A-Z, a-z, 0-9, _, . and -; it is none of the catalogue''s own, as item.updated, and does not begin with iteration.');
    ELSIF cardinality(collections) = 0 OR array_position(collections, NULL) IS NOT NULL OR array_ndims(collections) > 1 THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'iteration_job', 'collections must be a plain list of collection ids',
            hint => 'Leave it null for all collections of the stream.');
    ELSIF NOT esgf_stac_internal.is_predicate(filter) THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'iteration_job', format('filter is no jsonpath predicate: %s', left(filter::text, 200)),
            hint => 'A predicate answers true or false, for example $.properties."cmip6:source_id" == "CanESM5"; it has no variables.');
    ELSIF payload IS NULL OR payload NOT IN ('document', 'id') THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'iteration_job', format('payload must be document or id, not %s', coalesce(quote_literal(esgf_stac_internal.one_line(payload)), 'NULL')),
            hint => 'With id, lines have no document: its reader fetches each item itself.');
    ELSIF max_rate < 1 THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'iteration_job', 'max_rate must be at least 1',
            hint => 'It is items a second; null is as fast as can be.');
    END IF;
    INSERT INTO esgf_stac.iteration_job (stream, event_type, target, collections, filter, node, changed_since, payload, max_rate)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        RETURNING iteration_job.id INTO job;
    RETURN job;
END
$$;
COMMENT ON FUNCTION esgf_stac.start_iteration(text, text, text, text[], jsonpath, text, timestamptz, text, int) IS 'starts an iteration job: a relay sends the items of a stream, all or some, once more';

-- The row of a job that is to be steered, locked; refused if there is none, or it is over.
CREATE FUNCTION esgf_stac_internal.steered_iteration(job uuid) RETURNS esgf_stac.iteration
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found esgf_stac.iteration;
BEGIN
    SELECT j.* INTO found FROM esgf_stac.iteration_job j WHERE j.id = job FOR NO KEY UPDATE;
    IF found.id IS NULL THEN
        PERFORM esgf_stac_internal.refuse('job-does-not-exist', 'iteration_job', format('job %s does not exist', coalesce(job::text, 'NULL')));
    ELSIF found.state IN ('completed', 'cancelled', 'failed') THEN
        PERFORM esgf_stac_internal.refuse('job-finished', 'iteration_job', format('job %s is %s', job, found.state));
    END IF;
    RETURN found;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.steered_iteration(uuid) IS 'the row of an iteration job that is to be steered, locked';

CREATE FUNCTION esgf_stac.pause_iteration(job uuid) RETURNS esgf_stac.iteration
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    answer esgf_stac.iteration;
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_own_rights();
    answer := esgf_stac_internal.steered_iteration(job);
    IF answer.state <> 'paused' THEN
        UPDATE esgf_stac.iteration_job j SET state = 'paused' WHERE j.id = job RETURNING j.* INTO answer;
    END IF;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION esgf_stac.pause_iteration(uuid) IS 'has an iteration job stand still until resume_iteration()';

CREATE FUNCTION esgf_stac.resume_iteration(job uuid) RETURNS esgf_stac.iteration
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    answer esgf_stac.iteration;
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_own_rights();
    answer := esgf_stac_internal.steered_iteration(job);
    IF answer.state = 'paused' THEN
        UPDATE esgf_stac.iteration_job j SET state = 'pending' WHERE j.id = job RETURNING j.* INTO answer;
    END IF;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION esgf_stac.resume_iteration(uuid) IS 'has a paused iteration job go on where it stands';

CREATE FUNCTION esgf_stac.cancel_iteration(job uuid) RETURNS esgf_stac.iteration
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    answer esgf_stac.iteration;
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_own_rights();
    answer := esgf_stac_internal.steered_iteration(job);
    -- Of what has begun, its worker says so where it writes, and then that it is finished.
    UPDATE esgf_stac.iteration_job j
       SET state = 'cancelled', finished = CASE WHEN j.started IS NULL THEN clock_timestamp() END
     WHERE j.id = job
    RETURNING j.* INTO answer;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION esgf_stac.cancel_iteration(uuid) IS 'ends an iteration job for good';

CREATE FUNCTION esgf_stac.throttle_iteration(job uuid, max_rate int) RETURNS esgf_stac.iteration
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    answer esgf_stac.iteration;
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_own_rights();
    answer := esgf_stac_internal.steered_iteration(job);
    IF max_rate < 1 THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'iteration_job', 'max_rate must be at least 1',
            hint => 'It is items a second; null is as fast as can be.');
    END IF;
    UPDATE esgf_stac.iteration_job j SET max_rate = $2 WHERE j.id = job RETURNING j.* INTO answer;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION esgf_stac.throttle_iteration(uuid, int) IS 'has an iteration job send at most so many items a second';

-- Nobody goes on with the unfinished jobs of a stream (null: of any), nor says where they write that they ended.
CREATE FUNCTION esgf_stac_internal.fail_iterations(stream text, error text) RETURNS void
    LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE esgf_stac.iteration_job j
       SET state = CASE WHEN j.state = 'cancelled' THEN j.state ELSE 'failed' END, error = $2, finished = clock_timestamp()
     WHERE j.finished IS NULL AND ($1 IS NULL OR j.stream = $1)
$$;
COMMENT ON FUNCTION esgf_stac_internal.fail_iterations(text, text) IS 'fails the unfinished iteration jobs of a stream, or all';

-- ---------------------------------------------------------------- for relays

-- Who writes items holds a lock of the table, from before the stamp to the end.
CREATE FUNCTION esgf_stac_internal.item_writers() RETURNS SETOF text
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT l.virtualtransaction FROM pg_locks l
     WHERE l.relation = 'esgf_stac.item'::regclass AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
       AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
       AND l.pid IS DISTINCT FROM pg_backend_pid()
$$;
COMMENT ON FUNCTION esgf_stac_internal.item_writers() IS 'the other transactions that may have stamped items, as pg_locks.virtualtransaction names them';

-- Has everybody been told of the rules of the site that a job's stream is for? Before,
-- a writer might begin who knows no more of one than those who are waited for.
CREATE FUNCTION esgf_stac_internal.knows_rules(job uuid) RETURNS boolean
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT NOT EXISTS (SELECT FROM esgf_stac.iteration_job i
                         JOIN esgf_stac.stream s ON s.name = i.stream
                         JOIN esgf_stac.replication_rule r ON r.node = s.node
                         JOIN esgf_stac.rule_job j ON j.rule_id = r.id AND NOT j.ending AND j.finished IS NULL AND j.fence IS NULL
                        WHERE i.id = job AND NOT esgf_stac_internal.has_told(j.xid))
$$;
COMMENT ON FUNCTION esgf_stac_internal.knows_rules(uuid) IS 'has everybody been told of the rules of the site that an iteration job''s stream is for?';

-- Takes a job for this session, if no other has it: an advisory lock says whose it
-- is. Answers nothing, or how it stands; and the transactions that may have stamped
-- items before as_of, and are to end before the first page is read.
CREATE FUNCTION esgf_stac_internal.take_iteration(job uuid) RETURNS TABLE (state text, "position" text[], writers text[])
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    now CONSTANT timestamptz := clock_timestamp();
BEGIN
    IF NOT esgf_stac_internal.knows_rules(job) OR NOT pg_try_advisory_lock(esgf_stac_internal.iteration_lock(job)) THEN
        RETURN;
    END IF;
    UPDATE esgf_stac.iteration_job j
       SET state = CASE WHEN j.state = 'pending' THEN 'running' ELSE j.state END,
           error = CASE WHEN j.state = 'pending' THEN NULL ELSE j.error END,
           started = coalesce(j.started, now),
           as_of = coalesce(j.as_of, now),
           items_total = CASE WHEN j.started IS NULL THEN esgf_stac_internal.iteration_total(esgf_stac_internal.iteration_selection(job)) ELSE j.items_total END,
           heartbeat = now
     WHERE j.id = job AND j.finished IS NULL AND j.state <> 'paused'
    RETURNING j.state, j."position" INTO state, "position";
    IF NOT FOUND THEN
        PERFORM pg_advisory_unlock(esgf_stac_internal.iteration_lock(job));
        RETURN;
    END IF;
    writers := ARRAY(SELECT esgf_stac_internal.item_writers());
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.take_iteration(uuid) IS 'takes an iteration job for this session; answers how it stands, and who may have stamped items before as_of';

CREATE FUNCTION esgf_stac_internal.iteration_lock(job uuid) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT hashtextextended('esgf_stac.iteration_job ' || job, 0);
END;
COMMENT ON FUNCTION esgf_stac_internal.iteration_lock(uuid) IS 'the advisory lock of an iteration job';

-- Have these transactions ended? Who runs holds the lock of his own number. One that
-- is prepared meanwhile goes on under another: all that are prepared must have ended.
CREATE FUNCTION esgf_stac_internal.writers_ended(writers text[]) RETURNS boolean
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT cardinality(writers) = 0
           OR NOT EXISTS (SELECT FROM pg_locks l WHERE l.virtualtransaction = ANY (writers))
              AND NOT EXISTS (SELECT FROM esgf_stac_internal.item_writers() w WHERE starts_with(w, '-1/'))
$$;
COMMENT ON FUNCTION esgf_stac_internal.writers_ended(text[]) IS 'have these transactions, as take_iteration() named them, ended?';

-- A page of a job that runs: what is to be sent of the items behind its position.
-- It ends with that many, or with 10,000 looked at; the last row, which has no
-- version, is where it ends. No row: there are no more.
CREATE FUNCTION esgf_stac_internal.iteration_page(job uuid, max_items int) RETURNS TABLE (collection_id text, item_id text, version bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp SET enable_sort = off SET jit = off
AS $$
DECLARE
    after CONSTANT text[] := (SELECT j."position" FROM esgf_stac.iteration_job j WHERE j.id = job);
    selection CONSTANT esgf_stac_internal.selection := esgf_stac_internal.iteration_selection(job);
    room int := max_items;
    item record;
BEGIN
    FOR item IN
        SELECT i.collection_id, i.id, i.version, esgf_stac_internal.is_selected(selection, i.collection_id, i.deleted, i.nodes, i.updated, i.document) AS selected
          FROM esgf_stac.item i
         WHERE (i.collection_id, i.id) > (coalesce(after[1], ''), coalesce(after[2], ''))
         ORDER BY i.collection_id, i.id
         LIMIT 10000
    LOOP
        collection_id := item.collection_id;
        item_id := item.id;
        IF item.selected THEN
            version := item.version;
            room := room - 1;
            RETURN NEXT;
        END IF;
        EXIT WHEN room <= 0;
    END LOOP;
    IF collection_id IS NOT NULL THEN
        version := NULL;
        RETURN NEXT;
    END IF;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.iteration_page(uuid, int) IS 'the items of the next page of an iteration job, and where it ends';

-- The states of these items, [[place, collection, item], ...], now. One that is
-- selected no more has no type.
-- (Settings and OFFSET 0 have each key looked up: no plan may read all items for a few of them.)
CREATE FUNCTION esgf_stac_internal.iteration_states(job uuid, keys jsonb)
    RETURNS TABLE (place int, aggregatetype text, aggregateid text, type text, version bigint, payload jsonb, updated timestamptz, validated_against jsonb, sendable boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    selection CONSTANT esgf_stac_internal.selection := esgf_stac_internal.iteration_selection(job);
    its_type text;
    with_document boolean;
BEGIN
    SELECT j.event_type, j.payload = 'document' INTO STRICT its_type, with_document FROM esgf_stac.iteration_job j WHERE j.id = job;
    RETURN QUERY
        SELECT (k ->> 0)::int, i.collection_id, i.id, CASE WHEN s.selected THEN its_type END, i.version,
               CASE WHEN p.sendable THEN p.document END, i.updated, CASE WHEN s.selected THEN i.validated_against END, p.sendable IS NOT FALSE
          FROM jsonb_array_elements(keys) k
          JOIN esgf_stac.item i ON i.collection_id = k ->> 1 AND i.id = k ->> 2
         CROSS JOIN LATERAL (
               SELECT esgf_stac_internal.is_selected(selection, i.collection_id, i.deleted, i.nodes, i.updated, i.document) AS selected
               OFFSET 0) s
          LEFT JOIN LATERAL (
               SELECT t.document, esgf_stac_internal.can_be_sent(t.document) AS sendable FROM esgf_stac.published_item t
                WHERE t.collection_id = i.collection_id AND t.id = i.id AND s.selected AND with_document
               OFFSET 0) p ON true;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.iteration_states(uuid, jsonb) IS 'the current states of items of an iteration job';

REVOKE ALL ON FUNCTION
    esgf_stac_internal.is_selected(esgf_stac_internal.selection, text, boolean, text[], timestamptz, jsonb),
    esgf_stac_internal.iteration_selection(uuid),
    esgf_stac_internal.iteration_total(esgf_stac_internal.selection),
    esgf_stac_internal.is_own_event_type(text),
    esgf_stac.start_iteration(text, text, text, text[], jsonpath, text, timestamptz, text, int),
    esgf_stac_internal.steered_iteration(uuid),
    esgf_stac.pause_iteration(uuid),
    esgf_stac.resume_iteration(uuid),
    esgf_stac.cancel_iteration(uuid),
    esgf_stac.throttle_iteration(uuid, int),
    esgf_stac_internal.fail_iterations(text, text),
    esgf_stac_internal.item_writers(),
    esgf_stac_internal.knows_rules(uuid),
    esgf_stac_internal.take_iteration(uuid),
    esgf_stac_internal.iteration_lock(uuid),
    esgf_stac_internal.writers_ended(text[]),
    esgf_stac_internal.iteration_page(uuid, int),
    esgf_stac_internal.iteration_states(uuid, jsonb)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    esgf_stac.start_iteration(text, text, text, text[], jsonpath, text, timestamptz, text, int),
    esgf_stac.pause_iteration(uuid),
    esgf_stac.resume_iteration(uuid),
    esgf_stac.cancel_iteration(uuid),
    esgf_stac.throttle_iteration(uuid, int)
TO esgf_stac_admin;
GRANT EXECUTE ON FUNCTION
    esgf_stac_internal.item_writers(),
    esgf_stac_internal.take_iteration(uuid),
    esgf_stac_internal.iteration_lock(uuid),
    esgf_stac_internal.writers_ended(text[]),
    esgf_stac_internal.iteration_page(uuid, int),
    esgf_stac_internal.iteration_states(uuid, jsonb)
TO esgf_stac_relay;
