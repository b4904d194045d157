-- Items of realistic sizes for tests: realistic.item(id, kilobytes) is one of
-- collection CMIP6 with about so many kilobytes of JSON in files that do not
-- compress away, so that PostgreSQL stores it out of line; 5, 40 and 200 are the
-- federation's small, large and largest. pgTAP files \i this, TAP tests use
-- RealisticTest.pm.
CREATE SCHEMA realistic;

CREATE FUNCTION realistic.files(kilobytes int) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_object_agg(format('tas_day_%s.nc', i), jsonb_build_object(
               'href', format('https://a.org/thredds/fileServer/%s/tas_day_%s.nc', md5('path' || i), i), 'type', 'application/netcdf', 'roles', '["data"]'::jsonb,
               'alternate:name', 'a.org', 'protocol', 'HTTPServer', 'file:size', 1000000 + i,
               'file:checksum', '1220' || encode(sha256(convert_to('a' || i, 'UTF8')), 'hex'),
               'description', md5('b' || i) || md5('c' || i) || md5('d' || i)))
      FROM generate_series(1, greatest(1, kilobytes * 2)) i
$$;

CREATE FUNCTION realistic.item(id text, kilobytes int, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object('type', 'Feature', 'stac_version', '1.1.0', 'id', id, 'collection', 'CMIP6', 'geometry', null, 'links', '[]'::jsonb,
               'properties', '{"datetime": null, "start_datetime": "1850-01-16T12:00:00Z", "end_datetime": "2014-12-16T12:00:00Z", "cmip6:institution_id": "MPI-M"}'::jsonb || more,
               'assets', realistic.files(kilobytes))
$$;

-- The entries that add_replica() takes for all files of such an item.
CREATE FUNCTION realistic.alternates(kilobytes int, node text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_object_agg(key, jsonb_build_object('href', format('https://%s/%s', node, key))) FROM jsonb_object_keys(realistic.files(kilobytes)) key
$$;
