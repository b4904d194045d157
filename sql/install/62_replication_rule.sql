-- Rules of replication: what a site should hold, as it says itself.

CREATE TYPE esgf_stac.replication AS (
    id bigint,
    node text,
    name text,
    collections text[],
    filter jsonpath,
    priority int,
    on_retracted text,
    on_superseded text,
    valid_from timestamptz,
    valid_to timestamptz,
    set_by jsonb,
    closed_by jsonb,
    applied timestamptz
);
COMMENT ON TYPE esgf_stac.replication IS 'a rule of replication, as the table replication_rule has it';
COMMENT ON COLUMN esgf_stac.replication.id IS 'the rule';
COMMENT ON COLUMN esgf_stac.replication.node IS 'the site''s data node';
COMMENT ON COLUMN esgf_stac.replication.name IS 'what the site calls it';
COMMENT ON COLUMN esgf_stac.replication.collections IS 'items of which collections match; null is all';
COMMENT ON COLUMN esgf_stac.replication.filter IS 'which of these; null is all';
COMMENT ON COLUMN esgf_stac.replication.priority IS 'the higher, the earlier in the site''s list';
COMMENT ON COLUMN esgf_stac.replication.on_retracted IS 'purge or keep what is retracted';
COMMENT ON COLUMN esgf_stac.replication.on_superseded IS 'keep, purge or fetch what is no longer the latest';
COMMENT ON COLUMN esgf_stac.replication.valid_from IS 'from when it is in force';
COMMENT ON COLUMN esgf_stac.replication.valid_to IS 'until when; null is for good';
COMMENT ON COLUMN esgf_stac.replication.set_by IS 'who set it';
COMMENT ON COLUMN esgf_stac.replication.closed_by IS 'who closed it';
COMMENT ON COLUMN esgf_stac.replication.applied IS 'since when every item knows of it; null: not all do yet';

CREATE FUNCTION esgf_stac_internal.current_author() RETURNS jsonb
    AS 'MODULE_PATHNAME', 'esgf_current_author' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION esgf_stac_internal.current_author() IS 'who acts, by issuer and subject';
REVOKE ALL ON FUNCTION esgf_stac_internal.current_author() FROM PUBLIC;

CREATE FUNCTION esgf_stac_internal.is_administrator() RETURNS boolean
    AS 'MODULE_PATHNAME', 'esgf_is_administrator' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION esgf_stac_internal.is_administrator() IS 'is the caller an administrator, who acts for nobody else?';
REVOKE ALL ON FUNCTION esgf_stac_internal.is_administrator() FROM PUBLIC;

-- Refuses who may replicate neither at the node nor what is in the collections; null: in any.
CREATE FUNCTION esgf_stac_internal.require_replication(node text, collections text[]) RETURNS void
    AS 'MODULE_PATHNAME', 'esgf_require_replication' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION esgf_stac_internal.require_replication(text, text[]) IS 'refuses who may not set a rule of replication for a node and collections';
REVOKE ALL ON FUNCTION esgf_stac_internal.require_replication(text, text[]) FROM PUBLIC;

-- A filter is judged at every write: its form bounds what that costs.
CREATE FUNCTION esgf_stac_internal.filter_problem(filter jsonpath) RETURNS text
    AS 'MODULE_PATHNAME', 'esgf_filter_problem' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION esgf_stac_internal.filter_problem(jsonpath) IS 'why a filter may be too dear for others than administrators; null: it is not';
REVOKE ALL ON FUNCTION esgf_stac_internal.filter_problem(jsonpath) FROM PUBLIC;

CREATE FUNCTION esgf_stac.set_replication_rule(node text, name text, collections text[] DEFAULT NULL, filter jsonpath DEFAULT NULL,
    priority int DEFAULT 0, on_retracted text DEFAULT 'purge', on_superseded text DEFAULT 'keep', valid_to timestamptz DEFAULT NULL) RETURNS esgf_stac.replication
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    problems CONSTANT text[] := (SELECT array_agg(ARRAY[pointer, problem]) FROM (VALUES
        ('/node', CASE WHEN node IS NULL OR NOT EXISTS (SELECT FROM esgf_stac.site s WHERE s.node = $1) THEN 'must be a node of the table site' END),
        ('/name', CASE WHEN coalesce(name, '') !~ '^[A-Za-z0-9_.-]{1,64}$' THEN 'must have 1 to 64 of the characters A-Z, a-z, 0-9, _, . and -' END),
        ('/collections', CASE WHEN cardinality(collections) NOT BETWEEN 1 AND 1000 OR array_ndims(collections) > 1 OR array_position(collections, NULL) IS NOT NULL
                                   OR EXISTS (SELECT FROM unnest(collections) c WHERE octet_length(c) NOT BETWEEN 1 AND 255)
                              THEN 'must be a plain list of 1 to 1000 collection ids; null is all' END),
        ('/filter', CASE WHEN NOT esgf_stac_internal.is_predicate(filter) THEN 'must be a jsonpath predicate, without variables'
                         WHEN NOT esgf_stac_internal.is_administrator() THEN esgf_stac_internal.filter_problem(filter) END),
        ('/priority', CASE WHEN priority IS NULL THEN 'must be given' END),
        ('/on_retracted', CASE WHEN coalesce(on_retracted, '') NOT IN ('purge', 'keep') THEN 'must be purge or keep' END),
        ('/on_superseded', CASE WHEN coalesce(on_superseded, '') NOT IN ('keep', 'purge', 'fetch') THEN 'must be keep, purge or fetch' END),
        ('/valid_to', CASE WHEN valid_to <= clock_timestamp() THEN 'must be in time to come' END)) AS p(pointer, problem)
        WHERE problem IS NOT NULL);
    answer esgf_stac.replication;
    moment timestamptz;
BEGIN
    PERFORM esgf_stac_internal.require_open();
    PERFORM esgf_stac_internal.require_catalogue();
    IF problems IS NOT NULL THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'replication_rule', 'this is no rule of replication', problems);
    END IF;
    PERFORM esgf_stac_internal.require_replication(node, collections);

    -- Of two who set a rule of one name, the later one closes the other's.
    PERFORM FROM esgf_stac.site s WHERE s.node = $1 FOR NO KEY UPDATE;
    moment := clock_timestamp();
    SELECT r.* INTO answer FROM esgf_stac.replication_rule r WHERE r.node = $1 AND r.name = $2 AND r.closed_by IS NULL;
    IF (answer.collections, answer.filter::text, answer.priority, answer.on_retracted, answer.on_superseded, answer.valid_to)
       IS NOT DISTINCT FROM (collections, filter::text, priority, on_retracted, on_superseded, valid_to) AND answer.id IS NOT NULL THEN
        RETURN answer;
    ELSIF esgf_stac_internal.is_in_force(answer.valid_from, answer.valid_to) THEN
        -- To close a rule is to drop it.
        PERFORM esgf_stac_internal.require_replication(answer.node, answer.collections);
    END IF;
    UPDATE esgf_stac.replication_rule r
       SET valid_to = greatest(least(coalesce(r.valid_to, 'infinity'), moment), r.valid_from), closed_by = esgf_stac_internal.current_author()
     WHERE r.id = answer.id;
    INSERT INTO esgf_stac.replication_rule AS r (node, name, collections, filter, priority, on_retracted, on_superseded, valid_from, valid_to, set_by)
        VALUES ($1, $2, $3, $4, $5, $6, $7, moment, $8, esgf_stac_internal.current_author())
        -- There is none, or the transaction's snapshot does not show it (40001).
        ON CONFLICT DO NOTHING
        RETURNING r.* INTO answer;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION esgf_stac.set_replication_rule(text, text, text[], jsonpath, int, text, text, timestamptz) IS
'says which items a site should hold, and what becomes of those that are retracted or superseded; closes the site''s rule of that name';

CREATE FUNCTION esgf_stac.drop_replication_rule(node text, name text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    rule esgf_stac.replication;
BEGIN
    PERFORM esgf_stac_internal.require_open();
    PERFORM esgf_stac_internal.require_catalogue();
    IF node IS NULL OR name IS NULL THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'replication_rule', 'node and name must be given',
            hint => 'SELECT node, name FROM esgf_stac.replication_rule lists the rules.');
    END IF;
    -- One after another with those who set a rule of that name.
    PERFORM FROM esgf_stac.site s WHERE s.node = $1 FOR NO KEY UPDATE;
    SELECT r.* INTO rule FROM esgf_stac.replication_rule r
     WHERE r.node = $1 AND r.name = $2 AND r.closed_by IS NULL AND (r.valid_to IS NULL OR r.valid_to > clock_timestamp()) FOR NO KEY UPDATE;
    IF rule.id IS NULL THEN
        PERFORM esgf_stac_internal.refuse('rule-does-not-exist', 'replication_rule', format('no rule "%s" of node "%s" is in force', esgf_stac_internal.one_line(name), esgf_stac_internal.one_line(node)));
    END IF;
    PERFORM esgf_stac_internal.require_replication(rule.node, rule.collections);
    UPDATE esgf_stac.replication_rule r
       SET valid_to = greatest(least(coalesce(r.valid_to, 'infinity'), clock_timestamp()), r.valid_from), closed_by = esgf_stac_internal.current_author()
     WHERE r.id = rule.id;
END
$$;
COMMENT ON FUNCTION esgf_stac.drop_replication_rule(text, text) IS 'closes a rule of a site; its row stays, and what the site has is its own';

CREATE FUNCTION esgf_stac.only_close_replication() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A row type with a jsonpath has no equality: as text.
    IF to_jsonb(NEW) - '{valid_to,closed_by,applied}'::text[] <> to_jsonb(OLD) - '{valid_to,closed_by,applied}'::text[]
       OR ((NEW.valid_to, NEW.closed_by) IS DISTINCT FROM (OLD.valid_to, OLD.closed_by)
           AND (OLD.closed_by IS NOT NULL OR NEW.closed_by IS NULL OR NEW.valid_to IS NULL)) THEN
        PERFORM esgf_stac_internal.refuse('operation-not-permitted', 'replication_rule', 'a rule of replication does not change',
            hint => 'Call esgf_stac.set_replication_rule() or drop_replication_rule().');
    END IF;
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION esgf_stac.only_close_replication() FROM PUBLIC;
COMMENT ON FUNCTION esgf_stac.only_close_replication() IS 'trigger of replication_rule: a rule may be closed, once, and no more';

REVOKE ALL ON FUNCTION
    esgf_stac.set_replication_rule(text, text, text[], jsonpath, int, text, text, timestamptz),
    esgf_stac.drop_replication_rule(text, text)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    esgf_stac.set_replication_rule(text, text, text[], jsonpath, int, text, text, timestamptz),
    esgf_stac.drop_replication_rule(text, text)
TO esgf_stac_writer;
