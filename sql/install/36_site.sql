-- The data nodes: an administrator writes the table itself.

-- Why no href can be under a prefix of a site; null if one can.
CREATE FUNCTION esgf_stac_internal.prefix_problem(prefix text) RETURNS text
    AS 'MODULE_PATHNAME', 'esgf_prefix_problem' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
REVOKE ALL ON FUNCTION esgf_stac_internal.prefix_problem(text) FROM PUBLIC;
COMMENT ON FUNCTION esgf_stac_internal.prefix_problem(text) IS 'why no href can be under a prefix of a site; null if one can';

CREATE FUNCTION esgf_stac.check_site() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, esgf_stac, pg_temp
AS $$
DECLARE
    problems text[];
BEGIN
    PERFORM esgf_stac_internal.require_own_rights();
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    SELECT array_agg(ARRAY['/href_prefixes/' || (n - 1), problem] ORDER BY n)
      INTO problems
      FROM unnest(NEW.href_prefixes) WITH ORDINALITY AS p(prefix, n),
           coalesce(esgf_stac_internal.prefix_problem(prefix), CASE WHEN prefix IS NULL THEN 'must not be null' END) AS problem
     WHERE problem IS NOT NULL;
    IF problems IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.href_prefixes IS DISTINCT FROM OLD.href_prefixes) THEN
        PERFORM esgf_stac_internal.refuse('bad-request', 'site', format('no href can be under a prefix of site "%s"', esgf_stac_internal.one_line(NEW.node)),
            problems, hint => 'Give where files of the site lie, with scheme and host: https://esgf.example.org/thredds/.');
    END IF;
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION esgf_stac.check_site() FROM PUBLIC;
COMMENT ON FUNCTION esgf_stac.check_site() IS 'trigger of site: refuses prefixes that no href can be under';
