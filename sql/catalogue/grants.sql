-- What the roles may do to the tables; more, they may by functions.

GRANT SELECT ON esgf_stac.published_item, esgf_stac.collection, esgf_stac.maintenance, esgf_stac.replication_rule, esgf_stac.site_item, esgf_stac.rule_job, esgf_stac.schema TO esgf_stac_reader;
GRANT SELECT, INSERT, UPDATE ON esgf_stac.item TO esgf_stac_writer;
GRANT SELECT ON esgf_stac.dataset, esgf_stac.site TO esgf_stac_writer;
GRANT INSERT, UPDATE ON esgf_stac.collection TO esgf_stac_admin;
GRANT INSERT, UPDATE, DELETE ON esgf_stac.site TO esgf_stac_admin;
GRANT SELECT ON esgf_stac.catalogue, esgf_stac.access_rule, esgf_stac.request, esgf_stac.outbox,
                esgf_stac.stream, esgf_stac.consumer, esgf_stac.dead_letter, esgf_stac.stream_status,
                esgf_stac.verification, esgf_stac.drift TO esgf_stac_admin;
GRANT SELECT ON esgf_stac.published_item, esgf_stac.collection, esgf_stac.catalogue, esgf_stac.maintenance, esgf_stac.stream,
                esgf_stac.stream_status TO esgf_stac_relay;
GRANT SELECT ON esgf_stac.source, esgf_stac.source_partition, esgf_stac.inbox, esgf_stac.source_status TO esgf_stac_admin, esgf_stac_ingest;
GRANT SELECT ON esgf_stac.replication_rule, esgf_stac.rule_job TO esgf_stac_relay;
GRANT SELECT ON esgf_stac.catalogue, esgf_stac.maintenance TO esgf_stac_ingest;
GRANT SELECT, INSERT, UPDATE ON esgf_stac.consumer, esgf_stac.dead_letter, esgf_stac.verification, esgf_stac.drift TO esgf_stac_relay;
GRANT SELECT ON esgf_stac.iteration_job TO esgf_stac_admin;
GRANT SELECT, UPDATE ON esgf_stac.iteration_job TO esgf_stac_relay;
GRANT SELECT ON esgf_stac.metrics TO esgf_stac_admin, pg_monitor;
DO $$
BEGIN
    EXECUTE format('GRANT SELECT (%s) ON esgf_stac.outbox TO esgf_stac_relay', array_to_string(esgf_stac_internal.published_columns(), ', '));
END
$$;
