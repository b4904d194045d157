-- What every write of a table goes through.

-- By its name it comes first, before a row is waited for and before anything is refused for another reason.
CREATE OR REPLACE TRIGGER before_statement BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.item
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.before_statement();
CREATE OR REPLACE TRIGGER before_statement BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.collection
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.before_statement();

CREATE OR REPLACE TRIGGER before_row BEFORE INSERT OR UPDATE ON esgf_stac.item
    FOR EACH ROW EXECUTE FUNCTION esgf_stac.item_before_row();
CREATE OR REPLACE TRIGGER after_row AFTER INSERT OR UPDATE ON esgf_stac.item
    FOR EACH ROW EXECUTE FUNCTION esgf_stac.item_after_row();
CREATE OR REPLACE TRIGGER after_statement AFTER INSERT OR UPDATE ON esgf_stac.item
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.item_after_statement();
CREATE OR REPLACE TRIGGER before_row BEFORE INSERT OR UPDATE ON esgf_stac.collection
    FOR EACH ROW EXECUTE FUNCTION esgf_stac.collection_before_row();
CREATE OR REPLACE TRIGGER after_row AFTER INSERT OR UPDATE ON esgf_stac.collection
    FOR EACH ROW EXECUTE FUNCTION esgf_stac.collection_after_row();

CREATE OR REPLACE TRIGGER refuse_removal BEFORE DELETE OR TRUNCATE ON esgf_stac.item
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.refuse_removal('Call esgf_stac.delete_item(), or set deleted to true.');
CREATE OR REPLACE TRIGGER refuse_removal BEFORE DELETE OR TRUNCATE ON esgf_stac.dataset
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.refuse_removal('Datasets keep the one latest version of their items; leave them to the database.');
CREATE OR REPLACE TRIGGER refuse_removal BEFORE DELETE OR TRUNCATE ON esgf_stac.outbox
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.refuse_removal('Call esgf_stac.prune_outbox().');
CREATE OR REPLACE TRIGGER refuse_removal BEFORE DELETE OR TRUNCATE ON esgf_stac.collection
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.refuse_removal('Call esgf_stac.delete_collection().');
CREATE OR REPLACE TRIGGER refuse_removal BEFORE DELETE OR TRUNCATE ON esgf_stac.access_rule
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.refuse_removal('Call esgf_stac.revoke_access(): rules are closed, never deleted.');
CREATE OR REPLACE TRIGGER refuse_removal BEFORE DELETE OR TRUNCATE ON esgf_stac.replication_rule
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.refuse_removal('Call esgf_stac.drop_replication_rule(): rules are closed, never deleted.');
CREATE OR REPLACE TRIGGER before_row BEFORE INSERT OR UPDATE ON esgf_stac.schema
    FOR EACH ROW EXECUTE FUNCTION esgf_stac.schema_before_row();
CREATE OR REPLACE TRIGGER refuse_removal BEFORE DELETE OR TRUNCATE ON esgf_stac.schema
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.refuse_removal('Call esgf_stac.retire_schema(): what has judged an item stays readable.');

-- By these rows adopt_catalogue() tells pg_upgrade from a restore.
CREATE OR REPLACE TRIGGER note_writer BEFORE INSERT OR UPDATE ON esgf_stac.catalogue
    FOR EACH ROW EXECUTE FUNCTION esgf_stac.note_writer();
CREATE OR REPLACE TRIGGER note_writer BEFORE INSERT OR UPDATE ON esgf_stac.consumer
    FOR EACH ROW EXECUTE FUNCTION esgf_stac.note_writer();

-- Each backend keeps what these tables say; whoever changes one tells all.
CREATE OR REPLACE TRIGGER drop_caches AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.catalogue
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.drop_caches();
CREATE OR REPLACE TRIGGER drop_caches AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.maintenance
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.drop_caches();
CREATE OR REPLACE TRIGGER drop_caches AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.collection
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.drop_caches();
CREATE OR REPLACE TRIGGER drop_caches AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.site
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.drop_caches();
CREATE OR REPLACE TRIGGER drop_caches AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.access_rule
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.drop_caches();
CREATE OR REPLACE TRIGGER drop_caches AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.stream
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.drop_caches();
CREATE OR REPLACE TRIGGER drop_caches AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.replication_rule
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.drop_caches();
CREATE OR REPLACE TRIGGER drop_caches AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.schema
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.drop_caches();
ALTER TABLE esgf_stac.catalogue ENABLE ALWAYS TRIGGER drop_caches;
ALTER TABLE esgf_stac.maintenance ENABLE ALWAYS TRIGGER drop_caches;
ALTER TABLE esgf_stac.collection ENABLE ALWAYS TRIGGER drop_caches;
ALTER TABLE esgf_stac.site ENABLE ALWAYS TRIGGER drop_caches;
ALTER TABLE esgf_stac.access_rule ENABLE ALWAYS TRIGGER drop_caches;
ALTER TABLE esgf_stac.stream ENABLE ALWAYS TRIGGER drop_caches;
ALTER TABLE esgf_stac.replication_rule ENABLE ALWAYS TRIGGER drop_caches;
ALTER TABLE esgf_stac.schema ENABLE ALWAYS TRIGGER drop_caches;

CREATE OR REPLACE TRIGGER check_site BEFORE INSERT OR UPDATE OR DELETE ON esgf_stac.site
    FOR EACH ROW EXECUTE FUNCTION esgf_stac.check_site();

-- What refuses writing while triggers above are missing, as after a DROP
-- EXTENSION ... CASCADE, is no member of the extension, and outlives it.
CREATE OR REPLACE FUNCTION esgf_stac.require_triggers() RETURNS trigger
    AS 'MODULE_PATHNAME', 'esgf_require_triggers' LANGUAGE C;
REVOKE ALL ON FUNCTION esgf_stac.require_triggers() FROM PUBLIC;
COMMENT ON FUNCTION esgf_stac.require_triggers() IS 'trigger: refuses writing while the triggers named by its arguments are missing';
CREATE OR REPLACE TRIGGER require_triggers BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.item
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.require_triggers('before_statement', 'before_row', 'after_row', 'after_statement', 'refuse_removal');
CREATE OR REPLACE TRIGGER require_triggers BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.collection
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.require_triggers('before_statement', 'before_row', 'after_row', 'refuse_removal', 'drop_caches');
CREATE OR REPLACE TRIGGER require_triggers BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.site
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.require_triggers('check_site', 'drop_caches');
CREATE OR REPLACE TRIGGER require_triggers BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.access_rule
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.require_triggers('only_close', 'refuse_removal', 'drop_caches');
CREATE OR REPLACE TRIGGER require_triggers BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.replication_rule
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.require_triggers('only_close', 'apply_rule', 'refuse_removal', 'drop_caches');
CREATE OR REPLACE TRIGGER require_triggers BEFORE UPDATE OR DELETE OR TRUNCATE ON esgf_stac.outbox
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.require_triggers('refuse_removal');
CREATE OR REPLACE TRIGGER require_triggers BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON esgf_stac.schema
    FOR EACH STATEMENT EXECUTE FUNCTION esgf_stac.require_triggers('before_row', 'refuse_removal', 'drop_caches');

-- What was decided stays readable: a rule may be closed, once, and no more.
CREATE OR REPLACE TRIGGER only_close BEFORE UPDATE ON esgf_stac.access_rule
    FOR EACH ROW EXECUTE FUNCTION esgf_stac.only_close();
CREATE OR REPLACE TRIGGER only_close BEFORE UPDATE ON esgf_stac.replication_rule
    FOR EACH ROW EXECUTE FUNCTION esgf_stac.only_close_replication();
-- The items that are there hear of a rule, and of its end, by a job.
CREATE OR REPLACE TRIGGER apply_rule AFTER INSERT OR UPDATE ON esgf_stac.replication_rule
    FOR EACH ROW EXECUTE FUNCTION esgf_stac.apply_rule();
