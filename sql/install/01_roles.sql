-- The roles, each behind the one that it is a member of.

CREATE FUNCTION esgf_stac_internal.roles() RETURNS TABLE (role name, member_of name, purpose text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    VALUES ('esgf_stac_reader'::name, NULL::name, 'reads what is published and the events of the outbox'),
           ('esgf_stac_writer', 'esgf_stac_reader', 'changes items, as far as rules of access permit, and reads what a reader does'),
           ('esgf_stac_gateway', 'esgf_stac_writer', 'a writer that acts for others: says by set_identity() for whom'),
           ('esgf_stac_admin', 'esgf_stac_writer', 'writes collections, sites, rules of access and streams, and holds every right'),
           ('esgf_stac_relay', NULL, 'what esgf_stac_relay needs to deliver a stream, beside REPLICATION'),
           ('esgf_stac_ingest', NULL, 'what esgf_stac_ingest needs: takes in the events of every source');
END;
COMMENT ON FUNCTION esgf_stac_internal.roles() IS 'the roles, each with the one that it is a member of and what it is for';
REVOKE ALL ON FUNCTION esgf_stac_internal.roles() FROM PUBLIC;
