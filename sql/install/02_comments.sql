-- What the schemas and roles are for: roles belong to the cluster, their comments too.

COMMENT ON SCHEMA esgf_stac IS 'ESGF STAC catalogue: the functions to call, the tables of the truth';
COMMENT ON SCHEMA esgf_stac_internal IS 'what serves the functions of esgf_stac and its relay: not to be called by hand';
COMMENT ON ROLE esgf_stac_reader IS 'reads what is published and the events of the outbox (esgf_stac)';
COMMENT ON ROLE esgf_stac_writer IS 'changes items, as far as rules of access permit, and reads what a reader does (esgf_stac)';
COMMENT ON ROLE esgf_stac_gateway IS 'a writer that acts for others: says by set_identity() for whom (esgf_stac)';
COMMENT ON ROLE esgf_stac_admin IS 'writes collections, sites, rules of access and streams, and holds every right (esgf_stac)';
COMMENT ON ROLE esgf_stac_relay IS 'what esgf_stac_relay needs to deliver a stream, beside REPLICATION (esgf_stac)';
