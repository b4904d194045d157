-- Who acts, and who may do what: rules are rows, given and closed by administrators.

CREATE FUNCTION esgf_stac_internal.calling_role() RETURNS text
    AS 'MODULE_PATHNAME', 'esgf_calling_role' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION esgf_stac_internal.calling_role() IS 'who calls, whatever SECURITY DEFINER functions are on the way';

-- Refuses whoever acts for another, by set_identity(), what is for administrators.
CREATE FUNCTION esgf_stac_internal.require_own_rights() RETURNS void
    AS 'MODULE_PATHNAME', 'esgf_require_own_rights' LANGUAGE C STABLE PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION esgf_stac_internal.require_own_rights() FROM PUBLIC;
COMMENT ON FUNCTION esgf_stac_internal.require_own_rights() IS 'refuses whoever acts for another by set_identity()';

CREATE FUNCTION esgf_stac_internal.access_roles() RETURNS text[]
    AS 'MODULE_PATHNAME', 'esgf_access_roles' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION esgf_stac_internal.access_roles() IS 'what a rule of access may permit';
REVOKE ALL ON FUNCTION esgf_stac_internal.access_roles() FROM PUBLIC;

CREATE FUNCTION esgf_stac_internal.node_roles() RETURNS text[]
    AS 'MODULE_PATHNAME', 'esgf_node_roles' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION esgf_stac_internal.node_roles() IS 'what a change may need on a data node';
REVOKE ALL ON FUNCTION esgf_stac_internal.node_roles() FROM PUBLIC;

-- Why a rule may give nobody anything, sentence by sentence: what it names may
-- come to be, so that such a rule is not refused.
CREATE FUNCTION esgf_stac_internal.rule_doubts(principal text, role text, scope text, target text) RETURNS SETOF text
    LANGUAGE sql STABLE SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
    SELECT doubt FROM (VALUES
        (principal !~ '^[A-Za-z][A-Za-z0-9+.-]*:.' OR (principal ~* '^role:' AND principal !~ '^role:'),
         format('principal "%s" is neither a role of the database, role:<name>, nor begins with a scheme, as group:<issuer>/<name>', esgf_stac_internal.one_line(principal))),
        (principal LIKE 'role:_%' AND NOT EXISTS (SELECT FROM pg_roles r WHERE 'role:' || r.rolname = principal),
         format('there is no role "%s"', esgf_stac_internal.one_line(substr(principal, 6)))),
        (scope = 'node' AND target <> '*' AND NOT EXISTS (SELECT FROM esgf_stac.site s WHERE s.node = target),
         format('there is no site "%s"', esgf_stac_internal.one_line(target))),
        (scope = 'project' AND target <> '*' AND NOT EXISTS (SELECT FROM esgf_stac.collection c WHERE c.id = target AND NOT c.deleted),
         format('there is no collection "%s"', esgf_stac_internal.one_line(target))),
        (scope = 'node' AND role <> ALL (esgf_stac_internal.node_roles()),
         format('%s is not asked for on nodes', role))) AS d(doubted, doubt)
     WHERE doubted
$$;
COMMENT ON FUNCTION esgf_stac_internal.rule_doubts(text, text, text, text) IS 'why a rule of access may give nobody anything';
REVOKE ALL ON FUNCTION esgf_stac_internal.rule_doubts(text, text, text, text) FROM PUBLIC;

CREATE FUNCTION esgf_stac.grant_access(principal text, role text, scope text, target text, institution text DEFAULT NULL,
                                       valid_from timestamptz DEFAULT now(), valid_to timestamptz DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    problems CONSTANT text[] := (SELECT array_agg(ARRAY[pointer, problem]) FROM (VALUES
        ('/principal', CASE WHEN coalesce(principal, '') = '' THEN 'must be given' END),
        ('/principal', CASE WHEN octet_length(principal) > 255 THEN 'must not be longer than 255 bytes' END),
        ('/target', CASE WHEN octet_length(target) > 255 THEN 'must not be longer than 255 bytes' END),
        ('/institution', CASE WHEN octet_length(institution) > 255 THEN 'must not be longer than 255 bytes' END),
        ('/role', CASE WHEN role IS NULL OR role <> ALL (esgf_stac_internal.access_roles()) THEN 'must be one of ' || array_to_string(esgf_stac_internal.access_roles(), ' ') END),
        ('/scope', CASE WHEN scope IS NULL OR scope NOT IN ('project', 'node') THEN 'must be project or node' END),
        ('/target', CASE WHEN coalesce(target, '') = '' THEN 'must be given; * is any' END),
        ('/institution', CASE WHEN institution = '' THEN 'must not be empty; null is any' END),
        ('/valid_from', CASE WHEN valid_from IS NULL THEN 'must be given' END),
        ('/valid_to', CASE WHEN valid_to <= valid_from THEN 'must be after valid_from' END)) AS p(pointer, problem)
        WHERE problem IS NOT NULL);
    answer bigint;
    doubts text;
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_own_rights();
    IF problems IS NOT NULL THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'access_rule', 'this is no rule of access', problems);
    END IF;
    INSERT INTO esgf_stac.access_rule (principal, role, scope, target, institution, valid_from, valid_to, granted_by)
        VALUES (principal, role, scope, target, institution, valid_from, valid_to, esgf_stac_internal.calling_role())
        RETURNING id INTO answer;
    SELECT string_agg(doubt, E'\n') INTO doubts FROM esgf_stac_internal.rule_doubts(principal, role, scope, target) doubt;
    IF doubts <> '' THEN
        RAISE NOTICE 'rule % gives nobody anything as things are', answer
            USING DETAIL = doubts, HINT = 'If that is a slip, call esgf_stac.revoke_access() and grant_access(); doctor() shows it as long as it is so.';
    END IF;
    RETURN answer;
END
$$;
COMMENT ON FUNCTION esgf_stac.grant_access(text, text, text, text, text, timestamptz, timestamptz) IS
'give a principal a role on a project or a data node; answers the id of the rule';

CREATE FUNCTION esgf_stac.revoke_access(id bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
BEGIN
    PERFORM esgf_stac_internal.require_catalogue();
    PERFORM esgf_stac_internal.require_own_rights();
    UPDATE esgf_stac.access_rule r
       SET valid_to = greatest(least(coalesce(r.valid_to, 'infinity'), clock_timestamp()), r.valid_from),
           revoked_by = esgf_stac_internal.calling_role()
     WHERE r.id = revoke_access.id AND r.revoked_by IS NULL;
    IF NOT FOUND THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'access_rule', format('no rule %s is in force', coalesce(id::text, 'NULL')),
            hint => 'SELECT * FROM esgf_stac.access_rule WHERE revoked_by IS NULL lists those that are.');
    END IF;
END
$$;
COMMENT ON FUNCTION esgf_stac.revoke_access(bigint) IS 'close a rule of access; its row stays, so that old decisions can be audited';

CREATE FUNCTION esgf_stac.my_access()
    RETURNS TABLE (role text, scope text, target text, institution text, until timestamptz, by text)
    AS 'MODULE_PATHNAME', 'esgf_my_access' LANGUAGE C VOLATILE ROWS 10;
COMMENT ON FUNCTION esgf_stac.my_access() IS 'the rights that the caller, or whom a gateway acts for, holds now, and by which rule or entitlement';

CREATE FUNCTION esgf_stac.only_close() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF OLD.revoked_by IS NOT NULL OR NEW.revoked_by IS NULL OR NEW.valid_to IS NULL
       OR to_jsonb(NEW) - '{valid_to,revoked_by}'::text[] <> to_jsonb(OLD) - '{valid_to,revoked_by}'::text[] THEN
        PERFORM esgf_stac_internal.refuse('operation-not-permitted', 'access_rule', 'a rule of access does not change',
            hint => 'Call esgf_stac.revoke_access() and grant_access().');
    END IF;
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION esgf_stac.only_close() FROM PUBLIC;
COMMENT ON FUNCTION esgf_stac.only_close() IS 'trigger of access_rule: a rule may be closed, once, and no more';

CREATE FUNCTION esgf_stac.set_identity(identity jsonb) RETURNS void
    AS 'MODULE_PATHNAME', 'esgf_set_identity' LANGUAGE C;
COMMENT ON FUNCTION esgf_stac.set_identity(jsonb) IS
'a gateway says for whom this transaction acts';

CREATE FUNCTION esgf_stac.explain_access(request jsonb, identity jsonb DEFAULT NULL)
    RETURNS TABLE (role text, scope text, target text, granted boolean, rule_id bigint, pointer text, reason text)
    AS 'MODULE_PATHNAME', 'esgf_explain_access' LANGUAGE C ROWS 10;
COMMENT ON FUNCTION esgf_stac.explain_access(jsonb, jsonb) IS
'which rights a request of transact would need, and by which rules they are held or why not, without doing it';

REVOKE ALL ON FUNCTION
    esgf_stac.my_access(),
    esgf_stac.set_identity(jsonb),
    esgf_stac.explain_access(jsonb, jsonb),
    esgf_stac_internal.calling_role(),
    esgf_stac.grant_access(text, text, text, text, text, timestamptz, timestamptz),
    esgf_stac.revoke_access(bigint)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    esgf_stac.grant_access(text, text, text, text, text, timestamptz, timestamptz),
    esgf_stac.revoke_access(bigint)
TO esgf_stac_admin;
GRANT EXECUTE ON FUNCTION esgf_stac.my_access(), esgf_stac.explain_access(jsonb, jsonb) TO esgf_stac_writer;
GRANT EXECUTE ON FUNCTION esgf_stac.set_identity(jsonb) TO esgf_stac_gateway;
