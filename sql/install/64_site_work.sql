-- What a site lacks, and what may go. A site's rows of site_item stand in groups that
-- are alike; what follows for a group is decided when it is read, by the rules in
-- force and the site at that moment.

CREATE TYPE esgf_stac_internal.site_group AS (
    standing text,
    holds text,
    can_go boolean,
    rules bigint[],
    kind text,
    priority int,
    names text[]
);
COMMENT ON TYPE esgf_stac_internal.site_group IS 'items that are alike to a site, and what follows for them';
COMMENT ON COLUMN esgf_stac_internal.site_group.standing IS 'latest, superseded or retracted';
COMMENT ON COLUMN esgf_stac_internal.site_group.holds IS 'which data files the node has';
COMMENT ON COLUMN esgf_stac_internal.site_group.can_go IS 'would remove_replica() take it?';
COMMENT ON COLUMN esgf_stac_internal.site_group.rules IS 'the rules that match';
COMMENT ON COLUMN esgf_stac_internal.site_group.kind IS 'what is to be done; null: nothing';
COMMENT ON COLUMN esgf_stac_internal.site_group.priority IS 'the highest of the rules in force';
COMMENT ON COLUMN esgf_stac_internal.site_group.names IS 'of the rules in force';

-- What a node has of an item: bytes of the data files that it lacks, or else has, and
-- of those that it has; from where it could fetch.
CREATE FUNCTION esgf_stac_internal.item_holding(document jsonb, node text, OUT holds text, OUT located boolean, OUT can_go boolean, OUT bytes bigint, OUT bytes_here bigint, OUT sources text[])
    AS 'MODULE_PATHNAME', 'esgf_item_holding' LANGUAGE C STABLE STRICT;
COMMENT ON FUNCTION esgf_stac_internal.item_holding(jsonb, text) IS 'what a node has of an item, and who else has it';
REVOKE ALL ON FUNCTION esgf_stac_internal.item_holding(jsonb, text) FROM PUBLIC;

CREATE FUNCTION esgf_stac_internal.item_bytes(document jsonb) RETURNS bigint
    AS 'MODULE_PATHNAME', 'esgf_item_bytes' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION esgf_stac_internal.item_bytes(jsonb) IS 'the size of all data files of an item';
REVOKE ALL ON FUNCTION esgf_stac_internal.item_bytes(jsonb) FROM PUBLIC;

-- What follows for items that stand so at a node, and match these rules; null where none is in force. In PL/pgSQL, which keeps its plan.
CREATE FUNCTION esgf_stac_internal.site_verdict(node text, standing text, holds text, can_go boolean, rules bigint[]) RETURNS esgf_stac_internal.site_group
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    verdict esgf_stac_internal.site_group;
BEGIN
    SELECT $2, $3, $4, $5,
           CASE WHEN $2 = 'retracted' AND $4 AND bool_and(r.on_retracted = 'purge') THEN 'purge'
                WHEN $2 = 'superseded' AND $4 AND bool_and(r.on_superseded = 'purge') THEN 'purge'
                WHEN $2 <> 'retracted' AND ($2 = 'latest' OR bool_or(r.on_superseded = 'fetch'))
                     AND EXISTS (SELECT FROM esgf_stac.site s WHERE s.node = $1 AND s.active)
                    THEN CASE $3 WHEN 'none' THEN 'fetch' WHEN 'part' THEN 'complete' END END,
           max(r.priority), array_agg(r.name ORDER BY r.name)
      INTO verdict
      FROM esgf_stac.replication_rule r
     WHERE r.id = ANY ($5) AND esgf_stac_internal.is_in_force(r.valid_from, r.valid_to)
    HAVING count(*) > 0;
    RETURN verdict;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.site_verdict(text, text, text, boolean, bigint[]) IS 'what follows for items that stand so at a node and match these rules';
REVOKE ALL ON FUNCTION esgf_stac_internal.site_verdict(text, text, text, boolean, bigint[]) FROM PUBLIC;

-- The groups of a site that a rule in force matches, each found by one step through the index.
CREATE FUNCTION esgf_stac_internal.site_groups(node text) RETURNS SETOF esgf_stac_internal.site_group
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        WITH RECURSIVE alike AS (
            (SELECT s.standing, s.holds, s.can_go, s.rules FROM esgf_stac.site_item s WHERE s.node = $1
              ORDER BY s.standing, s.holds, s.can_go, s.rules LIMIT 1)
            UNION ALL
            SELECT n.standing, n.holds, n.can_go, n.rules
              FROM alike a, LATERAL (SELECT s.standing, s.holds, s.can_go, s.rules FROM esgf_stac.site_item s
                                      WHERE s.node = $1 AND (s.standing, s.holds, s.can_go, s.rules) > (a.standing, a.holds, a.can_go, a.rules)
                                      ORDER BY s.standing, s.holds, s.can_go, s.rules LIMIT 1) n
        )
        SELECT v.* FROM alike a, esgf_stac_internal.site_verdict($1, a.standing, a.holds, a.can_go, a.rules) v WHERE v.priority IS NOT NULL;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.site_groups(text) IS 'the groups of items that are alike to a site, and match a rule in force';
REVOKE ALL ON FUNCTION esgf_stac_internal.site_groups(text) FROM PUBLIC;

-- Those rules in force of some nodes, null of all, that not every item has been told of, and that match an item.
CREATE FUNCTION esgf_stac_internal.unapplied_matches(node text, collection_id text, document jsonb) RETURNS bigint[]
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(r.id ORDER BY r.id), '{}') FROM esgf_stac.replication_rule r
     WHERE ($1 IS NULL OR r.node = $1) AND r.applied IS NULL AND esgf_stac_internal.is_in_force(r.valid_from, r.valid_to)
       AND (r.collections IS NULL OR $2 = ANY (r.collections)) AND (r.filter IS NULL OR esgf_stac_internal.satisfies(document, r.filter))
$$;
COMMENT ON FUNCTION esgf_stac_internal.unapplied_matches(text, text, jsonb) IS 'the rules that match an item, and that not every item has been told of';
REVOKE ALL ON FUNCTION esgf_stac_internal.unapplied_matches(text, text, jsonb) FROM PUBLIC;

-- Items of a node that none of its rules matches, in the order of their keys.
CREATE FUNCTION esgf_stac_internal.surplus(node text, after_collection text, after_item text, max_items int) RETURNS TABLE (collection_id text, item_id text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT i.collection_id, i.id
      FROM esgf_stac.item i
     WHERE i.nodes @> ARRAY[$1] AND NOT i.deleted AND (i.collection_id, i.id) > (after_collection, after_item)
       AND EXISTS (SELECT FROM esgf_stac.replication_rule r WHERE r.node = $1 AND esgf_stac_internal.is_in_force(r.valid_from, r.valid_to))
       AND NOT EXISTS (SELECT FROM esgf_stac.site_item s JOIN esgf_stac.replication_rule r ON r.id = ANY (s.rules)
                        WHERE s.collection_id = i.collection_id AND s.item_id = i.id AND s.node = $1 AND esgf_stac_internal.is_in_force(r.valid_from, r.valid_to))
       AND CASE WHEN EXISTS (SELECT FROM esgf_stac.replication_rule r WHERE r.node = $1 AND r.applied IS NULL)
                THEN esgf_stac_internal.unapplied_matches($1, i.collection_id, i.document) = '{}' ELSE true END
     ORDER BY i.collection_id, i.id LIMIT max_items
$$;
COMMENT ON FUNCTION esgf_stac_internal.surplus(text, text, text, int) IS 'items that a node has and that none of its rules matches';
REVOKE ALL ON FUNCTION esgf_stac_internal.surplus(text, text, text, int) FROM PUBLIC;

CREATE TYPE esgf_stac.work AS (
    cursor text,
    kind text,
    collection_id text,
    item_id text,
    version bigint,
    bytes bigint,
    priority int,
    rules text[],
    sources text[],
    reason text,
    updated timestamptz
);
COMMENT ON TYPE esgf_stac.work IS 'what a site should do about an item';
COMMENT ON COLUMN esgf_stac.work.cursor IS 'where the list goes on behind this row';
COMMENT ON COLUMN esgf_stac.work.kind IS 'fetch, complete, purge or surplus';
COMMENT ON COLUMN esgf_stac.work.collection_id IS 'the item''s collection';
COMMENT ON COLUMN esgf_stac.work.item_id IS 'the item';
COMMENT ON COLUMN esgf_stac.work.version IS 'its version';
COMMENT ON COLUMN esgf_stac.work.bytes IS 'of the data files that the site lacks, or else has';
COMMENT ON COLUMN esgf_stac.work.priority IS 'the highest of the matching rules';
COMMENT ON COLUMN esgf_stac.work.rules IS 'the names of the matching rules';
COMMENT ON COLUMN esgf_stac.work.sources IS 'other nodes of active sites that have all data files, else those that have some';
COMMENT ON COLUMN esgf_stac.work.reason IS 'retracted, superseded or no-rule; null where it is to be had';
COMMENT ON COLUMN esgf_stac.work.updated IS 'when the item last changed';

-- Where a list goes on: the list, and the last row of it.
CREATE FUNCTION esgf_stac_internal.work_cursor(node text, kind text, priority int, collection_id text, item_id text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT json_build_array(node, kind, priority, collection_id, item_id)::text;
END;
COMMENT ON FUNCTION esgf_stac_internal.work_cursor(text, text, int, text, text) IS 'where a list of work goes on';
REVOKE ALL ON FUNCTION esgf_stac_internal.work_cursor(text, text, int, text, text) FROM PUBLIC;

CREATE FUNCTION esgf_stac_internal.read_work_cursor(cursor text, node text, kind text, OUT priority int, OUT collection_id text, OUT item_id text)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parts json;
BEGIN
    collection_id := '';
    item_id := '';
    IF cursor IS NULL THEN
        RETURN;
    END IF;
    parts := cursor::json;
    priority := (parts ->> 2)::int;
    collection_id := parts ->> 3;
    item_id := parts ->> 4;
    IF cursor IS DISTINCT FROM esgf_stac_internal.work_cursor(node, kind, priority, collection_id, item_id) OR collection_id IS NULL OR item_id IS NULL
       OR (priority IS NULL) <> (kind IS NOT DISTINCT FROM 'surplus') THEN
        RAISE data_exception;
    END IF;
EXCEPTION WHEN data_exception OR statement_too_complex THEN
    PERFORM esgf_stac_internal.refuse('bad-request', 'site_item', 'this is no cursor of that list',
        hint => 'Give the cursor of the last row that you have, with the same node and kind; without one the list begins anew.');
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.read_work_cursor(text, text, text) IS 'takes a cursor apart; refuses one of another list';
REVOKE ALL ON FUNCTION esgf_stac_internal.read_work_cursor(text, text, text) FROM PUBLIC;

-- Refuses a node that neither is a site nor has a rule in force.
CREATE FUNCTION esgf_stac_internal.require_site(node text) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF node IS NULL OR NOT EXISTS (SELECT FROM esgf_stac.site s WHERE s.node = $1)
       AND NOT EXISTS (SELECT FROM esgf_stac.replication_rule r WHERE r.node = $1 AND esgf_stac_internal.is_in_force(r.valid_from, r.valid_to)) THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'site_item', format('node %s is no site and has no rules', coalesce('"' || esgf_stac_internal.one_line(node) || '"', 'NULL')),
            hint => 'SELECT node, name FROM esgf_stac.replication_rule lists the rules of all sites.');
    END IF;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.require_site(text) IS 'refuses a node that neither is a site nor has a rule in force';
REVOKE ALL ON FUNCTION esgf_stac_internal.require_site(text) FROM PUBLIC;

CREATE FUNCTION esgf_stac_internal.require_page(max_items int) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF max_items IS NULL OR max_items NOT BETWEEN 1 AND 10000 THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'site_item', 'max_items must be from 1 to 10000', hint => 'A longer list is read in several calls, each with the cursor of the last row.');
    END IF;
END
$$;
COMMENT ON FUNCTION esgf_stac_internal.require_page(int) IS 'refuses a page of no rows, or too many';
REVOKE ALL ON FUNCTION esgf_stac_internal.require_page(int) FROM PUBLIC;

CREATE FUNCTION esgf_stac.site_work(node text, kind text DEFAULT NULL, cursor text DEFAULT NULL, max_items int DEFAULT 1000) RETURNS SETOF esgf_stac.work
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1000
    SET search_path = pg_catalog, esgf_stac, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    groups esgf_stac_internal.site_group[];
    has_unapplied boolean;
    after record;
    after_collection text;
    after_item text;
    level int;
    found record;
    verdict esgf_stac_internal.site_group;
    missing int := max_items;
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_site(node);
    PERFORM esgf_stac_internal.require_page(max_items);
    IF kind NOT IN ('fetch', 'complete', 'purge', 'surplus') THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'site_item', format('there is no kind of work "%s"', esgf_stac_internal.one_line(kind)),
            hint => 'It is fetch, complete, purge or surplus; null is the first three.');
    END IF;
    after := esgf_stac_internal.read_work_cursor(cursor, node, kind);
    after_collection := after.collection_id;
    after_item := after.item_id;
    IF kind = 'surplus' THEN
        RETURN QUERY
            SELECT esgf_stac_internal.work_cursor($1, $2, NULL, i.collection_id, i.id), $2, i.collection_id, i.id, i.version, h.bytes_here, NULL::int, '{}'::text[], h.sources, 'no-rule', i.updated
              FROM esgf_stac_internal.surplus($1, after_collection, after_item, max_items) s
              JOIN esgf_stac.item i ON i.collection_id = s.collection_id AND i.id = s.item_id
             CROSS JOIN LATERAL esgf_stac_internal.item_holding(i.document, $1) h
             ORDER BY i.collection_id, i.id;
        RETURN;
    END IF;

    groups := ARRAY(SELECT g FROM esgf_stac_internal.site_groups(node) g WHERE g.kind = $2 OR ($2 IS NULL AND g.kind IS NOT NULL));
    has_unapplied := EXISTS (SELECT FROM esgf_stac.replication_rule r WHERE r.node = $1 AND r.applied IS NULL AND esgf_stac_internal.is_in_force(r.valid_from, r.valid_to));
    FOR level IN SELECT DISTINCT g.priority FROM unnest(groups) g WHERE after.priority IS NULL OR g.priority <= after.priority ORDER BY 1 DESC LOOP
        IF level IS DISTINCT FROM after.priority THEN
            after_collection := '';
            after_item := '';
        END IF;
        -- All groups of one priority side by side, in the order of their items' keys.
        LOOP
            found := NULL;
            FOR found IN
                SELECT s.g AS alike, (s.g).kind, (s.g).names, i.collection_id, i.id, i.version, i.updated, i.document, h.bytes, h.bytes_here, h.sources
                  FROM (SELECT g, g.priority, s.collection_id, s.item_id
                          FROM unnest(groups) g
                         CROSS JOIN LATERAL (SELECT m.collection_id, m.item_id FROM esgf_stac.site_item m
                                              WHERE m.node = $1 AND m.standing = g.standing AND m.holds = g.holds AND m.can_go = g.can_go AND m.rules = g.rules
                                                AND (m.collection_id, m.item_id) > (after_collection, after_item)
                                              ORDER BY m.collection_id, m.item_id LIMIT missing) s
                         WHERE g.priority = level
                         ORDER BY s.collection_id, s.item_id LIMIT missing) s
                  JOIN esgf_stac.item i ON i.collection_id = s.collection_id AND i.id = s.item_id
                 CROSS JOIN LATERAL esgf_stac_internal.item_holding(i.document, $1) h
                 ORDER BY s.collection_id, s.item_id
            LOOP
                after_collection := found.collection_id;
                after_item := found.id;
                -- A rule that not every item has been told of may make of it what its place in the list is not.
                IF has_unapplied THEN
                    verdict := esgf_stac_internal.site_verdict($1, (found.alike).standing, (found.alike).holds, (found.alike).can_go,
                        (found.alike).rules || esgf_stac_internal.unapplied_matches($1, found.collection_id, found.document));
                    CONTINUE WHEN (verdict.kind, verdict.priority) IS DISTINCT FROM (found.kind, level);
                    found.names := verdict.names;
                END IF;
                RETURN NEXT ROW (esgf_stac_internal.work_cursor($1, $2, level, found.collection_id, found.id), found.kind, found.collection_id, found.id, found.version,
                    CASE found.kind WHEN 'purge' THEN found.bytes_here ELSE found.bytes END, level, found.names, found.sources,
                    CASE found.kind WHEN 'purge' THEN (found.alike).standing END, found.updated)::esgf_stac.work;
                missing := missing - 1;
            END LOOP;
            IF missing = 0 THEN
                RETURN;
            END IF;
            EXIT WHEN found.id IS NULL;
        END LOOP;
    END LOOP;
END
$$;
COMMENT ON FUNCTION esgf_stac.site_work(text, text, text, int) IS 'what a site lacks, and what may go: highest priority first, page by page';

CREATE FUNCTION esgf_stac.site_usage(node text)
    RETURNS TABLE (collection_id text, rule text, items bigint, bytes numeric, lacking_items bigint, lacking_bytes numeric, applied boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_site(node);
    RETURN QUERY
        WITH alike AS (
            SELECT s.collection_id, s.standing, s.holds, s.can_go, s.rules, count(*) AS items, sum(s.bytes) AS bytes
              FROM esgf_stac.site_item s WHERE s.node = $1 GROUP BY 1, 2, 3, 4, 5
        ), counted AS (
            SELECT a.collection_id, id, a.holds = 'whole' AS whole, v.kind IN ('fetch', 'complete') AS lacking, a.items, a.bytes
              FROM alike a
             CROSS JOIN LATERAL esgf_stac_internal.site_verdict($1, a.standing, a.holds, a.can_go, a.rules) v
             CROSS JOIN LATERAL unnest(a.rules) id
        )
        SELECT c.collection_id, r.name, coalesce(sum(n.items) FILTER (WHERE n.whole), 0)::bigint, coalesce(sum(n.bytes) FILTER (WHERE n.whole), 0),
               coalesce(sum(n.items) FILTER (WHERE n.lacking), 0)::bigint, coalesce(sum(n.bytes) FILTER (WHERE n.lacking), 0), r.applied IS NOT NULL
          FROM esgf_stac.replication_rule r
         CROSS JOIN LATERAL (SELECT unnest(r.collections) UNION SELECT x.id FROM esgf_stac.collection x WHERE r.collections IS NULL AND NOT x.deleted) c(collection_id)
          LEFT JOIN counted n ON n.id = r.id AND n.collection_id = c.collection_id
         WHERE r.node = $1 AND esgf_stac_internal.is_in_force(r.valid_from, r.valid_to)
         GROUP BY c.collection_id, r.id
         ORDER BY c.collection_id, r.name;
END
$$;
COMMENT ON FUNCTION esgf_stac.site_usage(text) IS 'of each rule of a site and collection: what the site has whole, and what it lacks';

CREATE FUNCTION esgf_stac.unreplicated(collection_id text, INOUT cursor text DEFAULT NULL, max_items int DEFAULT 1000, OUT item_id text, OUT nodes text[], OUT bytes bigint) RETURNS SETOF record
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1000
    SET search_path = pg_catalog, esgf_stac, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    in_force bigint[];
    has_unapplied boolean;
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_page(max_items);
    IF $1 IS NULL THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'site_item', 'collection_id must be given', hint => 'SELECT id FROM esgf_stac.collection WHERE NOT deleted lists the collections.');
    ELSIF NOT EXISTS (SELECT FROM esgf_stac.collection c WHERE c.id = $1 AND NOT c.deleted) THEN
        PERFORM esgf_stac_internal.refuse('collection-does-not-exist', 'collection', format('collection "%s" does not exist', esgf_stac_internal.one_line($1)));
    END IF;
    SELECT coalesce(array_agg(r.id), '{}'), coalesce(bool_or(r.applied IS NULL), false) INTO in_force, has_unapplied
      FROM esgf_stac.replication_rule r WHERE esgf_stac_internal.is_in_force(r.valid_from, r.valid_to);
    RETURN QUERY
        SELECT i.id, i.id, i.nodes, esgf_stac_internal.item_bytes(i.document)
          FROM esgf_stac.item i
         WHERE i.collection_id = $1 AND i.id > coalesce($2, '') AND i.latest AND NOT i.retracted AND NOT i.deleted
           AND NOT EXISTS (SELECT FROM esgf_stac.site_item s WHERE s.collection_id = i.collection_id AND s.item_id = i.id AND s.rules && in_force)
           AND CASE WHEN has_unapplied THEN esgf_stac_internal.unapplied_matches(NULL, i.collection_id, i.document) = '{}' ELSE true END
         ORDER BY i.id LIMIT $3;
END
$$;
COMMENT ON FUNCTION esgf_stac.unreplicated(text, text, int) IS 'the latest versions that no site wants by a rule';

REVOKE ALL ON FUNCTION esgf_stac.site_work(text, text, text, int), esgf_stac.site_usage(text), esgf_stac.unreplicated(text, text, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION esgf_stac.site_work(text, text, text, int), esgf_stac.site_usage(text), esgf_stac.unreplicated(text, text, int) TO esgf_stac_reader;
