-- by_hand.sql
--	What somebody would write instead of our verbs, for bench/items: bare tables
--	of the same columns, indexes and storage as ours, and functions that take the
--	same requests as transact(), one prepared statement a table and item. Nothing
--	is checked or stamped; what is derived is read from the document.

CREATE SCHEMA bare;
CREATE TABLE bare.item (LIKE esgf_stac.item INCLUDING ALL);
CREATE TABLE bare.outbox (LIKE esgf_stac.outbox INCLUDING ALL);
CREATE TABLE bare.dataset (LIKE esgf_stac.dataset INCLUDING ALL);
SELECT format('ALTER TABLE bare.item SET (%s)', array_to_string(reloptions, ', ')) FROM pg_class WHERE oid = 'esgf_stac.item'::regclass AND reloptions IS NOT NULL \gexec

CREATE FUNCTION bare.identity() RETURNS jsonb LANGUAGE sql IMMUTABLE
    RETURN '{"client_id": "psql", "iss": "postgresql:7000000000000000000", "sub": "postgres"}'::jsonb;

CREATE FUNCTION bare.post(requests jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    request jsonb;
    document jsonb;
    collection text;
    item text;
    base text;
BEGIN
    FOR request IN SELECT * FROM jsonb_array_elements(requests) LOOP
        document := request -> 'item';
        collection := request ->> 'collection_id';
        item := document ->> 'id';
        base := document #>> '{properties,base_id}';
        INSERT INTO bare.dataset (collection_id, base_id, latest_id) VALUES (collection, base, item)
            ON CONFLICT (collection_id, base_id) DO UPDATE SET latest_id = excluded.latest_id;
        INSERT INTO bare.item (collection_id, id, version, base_id, dataset_version, latest, retracted, nodes, document, created, updated)
            VALUES (collection, item, 1, base, document #>> '{properties,version}', true, false,
                    ARRAY(SELECT DISTINCT value ->> 'alternate:name' FROM jsonb_each(document -> 'assets')), document, clock_timestamp(), clock_timestamp());
        INSERT INTO bare.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, identity)
            VALUES (gen_random_uuid(), collection, item, 'item.published', 1, document, clock_timestamp(), bare.identity());
    END LOOP;
END $$;

CREATE FUNCTION bare.patch(requests jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    request jsonb;
    item bare.item;
BEGIN
    FOR request IN SELECT * FROM jsonb_array_elements(requests) LOOP
        UPDATE bare.item i
           SET document = jsonb_set(i.document, '{properties}', i.document -> 'properties' || (request #> '{patch,properties}')),
               version = i.version + 1, updated = clock_timestamp()
         WHERE i.collection_id = request ->> 'collection_id' AND i.id = request ->> 'item_id'
        RETURNING i.* INTO item;
        INSERT INTO bare.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, request, identity)
            VALUES (gen_random_uuid(), item.collection_id, item.id, 'item.updated', item.version, item.document, item.updated,
                    request -> 'patch', bare.identity());
    END LOOP;
END $$;

CREATE FUNCTION bare.add_replica(requests jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    request jsonb;
    item bare.item;
BEGIN
    FOR request IN SELECT * FROM jsonb_array_elements(requests) LOOP
        UPDATE bare.item i
           SET document = jsonb_set(i.document, '{assets}', (
                   SELECT jsonb_object_agg(key, CASE WHEN request -> 'alternates' ? key
                              THEN jsonb_set(value, '{alternate}', coalesce(value -> 'alternate', '{}') || jsonb_build_object(request ->> 'node', request -> 'alternates' -> key))
                              ELSE value END)
                     FROM jsonb_each(i.document -> 'assets'))),
               nodes = array_append(i.nodes, request ->> 'node'), version = i.version + 1, updated = clock_timestamp()
         WHERE i.collection_id = request ->> 'collection_id' AND i.id = request ->> 'item_id'
        RETURNING i.* INTO item;
        INSERT INTO bare.outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at, request, identity)
            VALUES (gen_random_uuid(), item.collection_id, item.id, 'item.replica_added', item.version, item.document, item.updated,
                    request -> 'alternates', bare.identity());
    END LOOP;
END $$;
