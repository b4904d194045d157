\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set setup :srcdir '/setup.psql'
\i :setup

-- Every rule of doc/validation.md: one place of a good document is changed (SQL
-- NULL: removed), and the answer is exactly the expected problems (none: NULL).

CREATE FUNCTION pg_temp.item() RETURNS jsonb LANGUAGE sql AS $$
SELECT '{
    "type": "Feature", "stac_version": "1.1.0", "id": "a.v1", "collection": "CMIP6",
    "stac_extensions": ["https://stac-extensions.github.io/file/v2.1.0/schema.json"],
    "geometry": {"type": "Polygon", "coordinates": [[[0, -90], [357.5, -90], [357.5, 90], [0.0, -90]]]},
    "bbox": [0, -90, 357.5, 90],
    "properties": {"datetime": null, "start_datetime": "1850-01-16T12:00:00Z", "end_datetime": "2014-12-16T12:00:00Z",
                   "latest": true, "retracted": false, "created": "2026-01-01T00:00:00.25Z", "title": "tas"},
    "links": [{"rel": "self", "href": "https://x.org/a.v1", "type": "application/json"}],
    "assets": {"tas.nc": {"href": "https://x.org/tas.nc", "roles": ["data"], "alternate:name": "x.org",
                          "alternate": {"y.org": {"href": "https://y.org/tas.nc", "alternate:name": "y.org"}}}}
}'::jsonb
$$;

CREATE FUNCTION pg_temp.collection() RETURNS jsonb LANGUAGE sql AS $$
SELECT '{
    "type": "Collection", "stac_version": "1.1.0", "id": "CMIP6", "description": "x", "license": "CC-BY-4.0", "links": [],
    "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}
}'::jsonb
$$;

CREATE FUNCTION pg_temp.changed(document jsonb, place text, value jsonb) RETURNS jsonb LANGUAGE sql AS $$
SELECT CASE WHEN value IS NULL THEN document #- place::text[] ELSE jsonb_set(document, place::text[], value) END
$$;

CREATE FUNCTION pg_temp.problems_of_item(document jsonb) RETURNS text LANGUAGE sql AS $$
SELECT string_agg(coalesce(pointer || ': ', '') || detail, E'\n') FROM esgf_stac.validate_item(document)
$$;

CREATE FUNCTION pg_temp.problems_of_collection(document jsonb) RETURNS text LANGUAGE sql AS $$
SELECT string_agg(coalesce(pointer || ': ', '') || detail, E'\n') FROM esgf_stac.validate_collection(document)
$$;

CREATE FUNCTION pg_temp.name_of(place text, value jsonb) RETURNS text LANGUAGE sql AS $$
SELECT place || coalesce(' = ' || left(value::text, 60), ' removed')
$$;

SELECT * FROM no_plan();

-- Good documents
SELECT is(pg_temp.problems_of_item(pg_temp.item()), NULL, 'a good item');
SELECT is(pg_temp.problems_of_collection(pg_temp.collection()), NULL, 'a good collection');
SELECT is(pg_temp.problems_of_item(pg_temp.item() || '{"x": [1e400], "extensions": [], "conformsTo": null}'
                                   #- '{stac_extensions}' #- '{collection}'),
          NULL, 'unknown members pass, optional ones may be absent');
SELECT is(pg_temp.problems_of_item('{"type": "Feature", "stac_version": "1.0.0", "id": "a", "geometry": null, "links": [], "assets": {},
                                     "properties": {"datetime": "2020-01-01T00:00:00Z"}}'),
          NULL, 'the smallest item');

-- Top level
SELECT is(pg_temp.problems_of_item(pg_temp.changed(pg_temp.item(), place, value)), problem, pg_temp.name_of(place, value))
FROM (VALUES
    ('{type}', NULL::jsonb, '/type: is missing'),
    ('{type}', '"feature"', '/type: must be "Feature"'),
    ('{type}', 'null', '/type: must be "Feature"'),
    ('{stac_version}', NULL, '/stac_version: is missing'),
    ('{stac_version}', '"1.0.1"', NULL),
    ('{stac_version}', '"1.1.0-beta.1"', NULL),
    ('{stac_version}', '"0.9.0"', '/stac_version: must be a version 1.0 or 1.1 of STAC, such as 1.1.0'),
    ('{stac_version}', '"1.2.0"', '/stac_version: must be a version 1.0 or 1.1 of STAC, such as 1.1.0'),
    ('{stac_version}', '"1.0"', '/stac_version: must be a version 1.0 or 1.1 of STAC, such as 1.1.0'),
    ('{stac_version}', '"1.0.00"', '/stac_version: must be a version 1.0 or 1.1 of STAC, such as 1.1.0'),
    ('{stac_version}', '"1.0.0-"', '/stac_version: must be a version 1.0 or 1.1 of STAC, such as 1.1.0'),
    ('{stac_version}', '"1.0.0-a."', '/stac_version: must be a version 1.0 or 1.1 of STAC, such as 1.1.0'),
    ('{stac_version}', '"1.0.0x"', '/stac_version: must be a version 1.0 or 1.1 of STAC, such as 1.1.0'),
    ('{stac_version}', '1.0', '/stac_version: must be a version 1.0 or 1.1 of STAC, such as 1.1.0'),
    ('{id}', NULL, '/id: is missing'),
    ('{id}', '"é.v1 ~"', NULL),
    ('{id}', '1', '/id: must be a string'),
    ('{id}', 'null', '/id: must be a string'),
    ('{id}', '""', '/id: must not be empty'),
    ('{id}', '"a/b"', '/id: must not contain "/", "?" or "#"'),
    ('{id}', '"a?b"', '/id: must not contain "/", "?" or "#"'),
    ('{id}', '"a#b"', '/id: must not contain "/", "?" or "#"'),
    ('{id}', '"a\nb"', '/id: must not contain control characters'),
    ('{id}', '"a\u007fb"', '/id: must not contain control characters'),
    ('{id}', '"a\u0080b"', '/id: must not contain control characters'),
    ('{id}', '"a\u00a0b"', NULL),
    ('{id}', to_jsonb(repeat('x', 255)), NULL),
    ('{id}', to_jsonb(repeat('x', 256)), '/id: must not be longer than 255 bytes'),
    ('{id}', to_jsonb(repeat('é', 128)), '/id: must not be longer than 255 bytes'),
    ('{collection}', 'null', NULL),
    ('{collection}', '1', '/collection: must be a string'),
    ('{collection}', '"a/b"', '/collection: must not contain "/", "?" or "#"'),
    ('{collection}', '"collection"', '/collection: must not be "collection", which names all collections'),
    ('{stac_extensions}', 'null', NULL),
    ('{stac_extensions}', '{}', '/stac_extensions: must be an array'),
    ('{stac_extensions,0}', '1', '/stac_extensions/0: must be an http or https URL'),
    ('{properties}', NULL, '/properties: is missing'),
    ('{properties}', '[]', '/properties: must be an object'),
    ('{links}', NULL, '/links: is missing'),
    ('{links}', 'null', '/links: must be an array'),
    ('{assets}', NULL, '/assets: is missing'),
    ('{assets}', 'null', '/assets: must be an object'),
    ('{assets}', '[]', '/assets: must be an object'),
    ('{assets}', '{}', NULL)
) AS rules(place, value, problem);

-- URLs of extensions
SELECT is(pg_temp.problems_of_item(pg_temp.changed(pg_temp.item(), '{stac_extensions,0}', to_jsonb(url))),
          CASE WHEN NOT good THEN '/stac_extensions/0: must be an http or https URL' END, 'URL ' || url)
FROM (VALUES
    ('HTTP://host.docker.internal/x y', true), ('https://a_b-c', true), ('http://a?q', true), ('http://a#f', true),
    ('http://a:65535/', true), ('http://1.2.3.4', true), ('http://1a/', true),
    ('eo', false), ('', false), ('urn:x', false), ('ftp://a/', false), ('https://', false), ('https:///x', false),
    ('http://a b/', false), ('http://a..b/', false), ('http://.a/', false), ('http://u@a/', false), ('http://[::1]/', false),
    ('http://a:65536/', false), ('http://a:/', false), ('http://a:8x/', false), ('http://1.2.3/', false), ('http://1.2.3.256/', false),
    ('http://1.2.3.4.5/', false), ('http://01.2.3.4/', false), ('http://a.1/', false), ('http://a.0x1/', false),
    ('http://xn--a/', false), ('http://bücher.org/', false)
) AS urls(url, good);

-- Bounding boxes
SELECT is(pg_temp.problems_of_item(pg_temp.changed(pg_temp.item(), place, value)), problem, pg_temp.name_of(place, value))
FROM (VALUES
    ('{bbox}', NULL::jsonb, '/bbox: must be given if geometry is not null'),
    ('{bbox}', 'null', '/bbox: must be given if geometry is not null'),
    ('{bbox}', '[170, 0, -170, 0]', NULL),
    ('{bbox}', '[0, 0, -1, 1, 1, 0]', NULL),
    ('{bbox}', '[0, 0, 0]', '/bbox: must be an array of 4 or 6 finite numbers'),
    ('{bbox}', '[0, 0, 0, 0, 0]', '/bbox: must be an array of 4 or 6 finite numbers'),
    ('{bbox}', '[0, 0, 0, 0, 0, 0, 0]', '/bbox: must be an array of 4 or 6 finite numbers'),
    ('{bbox}', '{}', '/bbox: must be an array of 4 or 6 finite numbers'),
    ('{bbox,0}', '"0"', '/bbox: must be an array of 4 or 6 finite numbers'),
    ('{bbox,2}', '1e309', '/bbox: must be an array of 4 or 6 finite numbers'),
    ('{bbox,2}', '-1e309', '/bbox: must be an array of 4 or 6 finite numbers'),
    ('{bbox}', '[0, 1, 0, 0]', '/bbox: must have its south not above its north'),
    ('{bbox}', '[0, 1, 1, 0, 0, 0]', E'/bbox: must have its south not above its north\n/bbox: must have its lowest not above its highest altitude')
) AS rules(place, value, problem);

-- Geometries
SELECT is(pg_temp.problems_of_item(pg_temp.changed(pg_temp.item(), place, value)), problem, pg_temp.name_of(place, value))
FROM (VALUES
    ('{geometry}', NULL::jsonb, '/geometry: is missing'),
    ('{geometry}', 'null', NULL),
    ('{geometry}', '[]', '/geometry: must be a geometry object'),
    ('{geometry}', '{}', '/geometry/type: is missing'),
    ('{geometry,type}', 'null', '/geometry/type: must be a type of geometry, such as Polygon'),
    ('{geometry,type}', '"polygon"', '/geometry/type: must be a type of geometry, such as Polygon'),
    ('{geometry,type}', '1', '/geometry/type: must be a type of geometry, such as Polygon'),
    ('{geometry,bbox}', 'null', NULL),
    ('{geometry,bbox}', '[0, 1, 0, 0]', '/geometry/bbox: must have its south not above its north'),
    ('{geometry,coordinates}', NULL, '/geometry/coordinates: is missing'),
    ('{geometry,coordinates}', 'null', '/geometry/coordinates: is missing'),
    ('{geometry,coordinates}', '{}', '/geometry/coordinates: must be an array'),
    ('{geometry,coordinates,0}', '"x"', '/geometry/coordinates/0: must be an array'),
    ('{geometry,coordinates,0,1}', '0', '/geometry/coordinates/0/1: must be a position, an array of 2 or 3 finite numbers'),
    ('{geometry,coordinates,0,1,1}', '1e400', '/geometry/coordinates/0/1: must be a position, an array of 2 or 3 finite numbers'),
    ('{geometry,coordinates,0}', '[[0, 0], [1, 1], [0, 0]]', '/geometry/coordinates/0: must be a linear ring of at least 4 positions'),
    ('{geometry,coordinates,0,3}', '[0, 90]', '/geometry/coordinates/0: must be a linear ring that ends where it begins'),
    ('{geometry,coordinates,0,3}', '[0, -90, 0]', '/geometry/coordinates/0: must be a linear ring that ends where it begins'),
    ('{geometry}', '{"type": "Point", "coordinates": [0, 0, 0]}', NULL),
    ('{geometry}', '{"type": "Point", "coordinates": [0]}', '/geometry/coordinates: must be a position, an array of 2 or 3 finite numbers'),
    ('{geometry}', '{"type": "Point", "coordinates": [0, 0, 0, 0]}', '/geometry/coordinates: must be a position, an array of 2 or 3 finite numbers'),
    ('{geometry}', '{"type": "MultiPoint", "coordinates": []}', NULL),
    ('{geometry}', '{"type": "MultiPoint", "coordinates": [0, 0]}',
     E'/geometry/coordinates/0: must be a position, an array of 2 or 3 finite numbers\n/geometry/coordinates/1: must be a position, an array of 2 or 3 finite numbers'),
    ('{geometry}', '{"type": "LineString", "coordinates": [[0, 0], [1, 1]]}', NULL),
    ('{geometry}', '{"type": "LineString", "coordinates": [[0, 0]]}', '/geometry/coordinates: must be a line of at least 2 positions'),
    ('{geometry}', '{"type": "MultiLineString", "coordinates": [[[0, 0], [1, 1]]]}', NULL),
    ('{geometry}', '{"type": "MultiLineString", "coordinates": [[[0, 0]]]}', '/geometry/coordinates/0: must be a line of at least 2 positions'),
    ('{geometry}', '{"type": "MultiPolygon", "coordinates": [[[[0, 0], [1, 0], [1, 1], [0, 0]]]]}', NULL),
    ('{geometry}', '{"type": "MultiPolygon", "coordinates": [[[[0, 0], [1, 0], [1, 1], [0, 1]]]]}',
     '/geometry/coordinates/0/0: must be a linear ring that ends where it begins'),
    ('{geometry}', '{"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [0, 0]}]}', NULL),
    ('{geometry}', '{"type": "GeometryCollection", "coordinates": []}', '/geometry/geometries: is missing'),
    ('{geometry}', '{"type": "GeometryCollection", "geometries": {}}', '/geometry/geometries: must be an array'),
    ('{geometry}', '{"type": "GeometryCollection", "geometries": [null]}', '/geometry/geometries/0: must be a geometry object'),
    ('{geometry}', '{"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [0, 0]}, {"type": "Point", "coordinates": [0, 0, 0]}]}',
     '/geometry/geometries: must all have altitudes, or none of them')
) AS rules(place, value, problem);

-- Collections of geometries in one another
CREATE FUNCTION pg_temp.nested(levels int) RETURNS jsonb LANGUAGE sql AS $$
SELECT (repeat('{"type": "GeometryCollection", "geometries": [', levels) || '{"type": "Point", "coordinates": [0, 0]}' || repeat(']}', levels))::jsonb
$$;
SELECT is(pg_temp.problems_of_item(pg_temp.item() || jsonb_build_object('geometry', pg_temp.nested(32))), NULL, '32 levels of geometries');
SELECT is(pg_temp.problems_of_item(pg_temp.item() || jsonb_build_object('geometry', pg_temp.nested(n))),
          '/geometry' || repeat('/geometries/0', 32) || '/geometries: must not be nested so deeply', n || ' levels of geometries')
FROM (VALUES (33), (2000)) AS levels(n);

-- Properties
SELECT is(pg_temp.problems_of_item(pg_temp.changed(pg_temp.item(), place, value)), problem, pg_temp.name_of(place, value))
FROM (VALUES
    ('{properties,datetime}', NULL::jsonb, '/properties/datetime: is missing'),
    ('{properties,datetime}', '1577836800', '/properties/datetime: must be an RFC 3339 time, such as 1850-01-16T12:00:00Z'),
    ('{properties,start_datetime}', NULL, '/properties/start_datetime: must be given if datetime is null or end_datetime is given'),
    ('{properties,start_datetime}', 'null', '/properties/start_datetime: must be given if datetime is null or end_datetime is given'),
    ('{properties,end_datetime}', NULL, '/properties/end_datetime: must be given if datetime is null or start_datetime is given'),
    ('{properties}', '{"datetime": null}',
     E'/properties/start_datetime: must be given if datetime is null or end_datetime is given\n/properties/end_datetime: must be given if datetime is null or start_datetime is given'),
    ('{properties}', '{"datetime": "2020-01-01T00:00:00Z", "end_datetime": "2020-01-01T00:00:00Z"}',
     '/properties/start_datetime: must be given if datetime is null or end_datetime is given'),
    ('{properties}', '{"datetime": "2020-01-01T00:00:00Z", "start_datetime": "2020-01-01T00:00:00Z"}',
     '/properties/end_datetime: must be given if datetime is null or start_datetime is given'),
    ('{properties,start_datetime}', '"x"', '/properties/start_datetime: must be an RFC 3339 time, such as 1850-01-16T12:00:00Z'),
    ('{properties,end_datetime}', '"x"', '/properties/end_datetime: must be an RFC 3339 time, such as 1850-01-16T12:00:00Z'),
    ('{properties,created}', '"x"', '/properties/created: must be an RFC 3339 time, such as 1850-01-16T12:00:00Z'),
    ('{properties,updated}', 'true', '/properties/updated: must be an RFC 3339 time, such as 1850-01-16T12:00:00Z'),
    ('{properties,updated}', 'null', NULL),
    ('{properties,latest}', '"true"', '/properties/latest: must be true or false'),
    ('{properties,latest}', 'null', NULL),
    ('{properties,retracted}', '0', '/properties/retracted: must be true or false'),
    ('{properties,title}', '1', '/properties/title: must be a string'),
    ('{properties,description}', '[]', '/properties/description: must be a string'),
    ('{properties,license}', '{}', '/properties/license: must be a string'),
    ('{properties,platform}', '1', '/properties/platform: must be a string'),
    ('{properties,constellation}', '1', '/properties/constellation: must be a string'),
    ('{properties,mission}', '1', '/properties/mission: must be a string'),
    ('{properties,mission}', 'null', NULL),
    ('{properties,instruments}', '"x"', '/properties/instruments: must be an array'),
    ('{properties,instruments}', '["x", null]', '/properties/instruments/1: must be a string'),
    ('{properties,gsd}', '0.5', NULL),
    ('{properties,gsd}', '0', '/properties/gsd: must be a finite number greater than 0'),
    ('{properties,gsd}', '1e-400', '/properties/gsd: must be a finite number greater than 0'),
    ('{properties,gsd}', '1e400', '/properties/gsd: must be a finite number greater than 0'),
    ('{properties,gsd}', '"1"', '/properties/gsd: must be a finite number greater than 0'),
    ('{properties,providers}', '[{"name": "x", "url": null, "roles": ["host"], "description": "y"}]', NULL),
    ('{properties,providers}', '{}', '/properties/providers: must be an array'),
    ('{properties,providers}', '[1]', '/properties/providers/0: must be an object'),
    ('{properties,providers}', '[{}]', '/properties/providers/0/name: is missing'),
    ('{properties,providers}', '[{"name": ""}]', '/properties/providers/0/name: must be a string that is not empty'),
    ('{properties,providers}', '[{"name": "x", "url": 1}]', '/properties/providers/0/url: must be a string'),
    ('{properties,providers}', '[{"name": "x", "roles": [1]}]', '/properties/providers/0/roles/0: must be a string'),
    ('{properties,providers}', '[{"name": "x", "description": 1}]', '/properties/providers/0/description: must be a string')
) AS rules(place, value, problem);

-- Times
SELECT is(pg_temp.problems_of_item(pg_temp.changed(pg_temp.item(), '{properties,datetime}', to_jsonb(t))),
          CASE WHEN NOT good THEN '/properties/datetime: must be an RFC 3339 time, such as 1850-01-16T12:00:00Z' END, 'time ' || t)
FROM (VALUES
    ('2020-02-29T23:59:59Z', true), ('2020-01-01t00:00:00z', true), ('2020-01-01T00:00:00.1234567890123Z', true),
    ('2020-01-01T00:00:00+15:59', true), ('2020-01-01T00:00:00-15:59', true), ('2020-01-01T00:00:00+16:00', false), ('2020-01-01T00:00:00-16:00', false), ('2020-01-01T00:00:00+23:59', false), ('2020-01-01T00:00:00-00:00', true), ('2000-02-29T00:00:00Z', true),
    ('0001-01-01T01:00:00+01:00', true), ('9999-12-31T22:59:59-01:00', true),
    ('', false), ('2020-01-01', false), ('2020-01-01T00:00:00', false), ('2020-01-01T00:00Z', false), ('2020-01-01 00:00:00Z', false),
    ('2020-01-01T00:00:00.Z', false), ('2020-01-01T00:00:00,5Z', false), ('2020-01-01T00:00:00+0100', false), ('2020-01-01T00:00:00+01', false),
    ('2020-01-01T00:00:00+24:00', false), ('2020-01-01T00:00:00+01:60', false), ('2020-01-01T00:00:00Zx', false),
    ('2016-12-31T23:59:60Z', false), ('2020-01-01T24:00:00Z', false), ('2020-01-01T00:60:00Z', false),
    ('2020-00-01T00:00:00Z', false), ('2020-13-01T00:00:00Z', false), ('2020-01-00T00:00:00Z', false), ('2020-04-31T00:00:00Z', false),
    ('2019-02-29T00:00:00Z', false), ('1900-02-29T00:00:00Z', false), ('0000-01-01T00:00:00Z', false),
    ('0001-01-01T00:59:59+01:00', false), ('9999-12-31T23:00:00-01:00', false)
) AS times(t, good);

-- Links and assets
SELECT is(pg_temp.problems_of_item(pg_temp.changed(pg_temp.item(), place, value)), problem, pg_temp.name_of(place, value))
FROM (VALUES
    ('{links}', '[]'::jsonb, NULL),
    ('{links}', '{"rel": "self", "href": "x"}', '/links: must be an array'),
    ('{links,0}', '"x"', '/links/0: must be an object'),
    ('{links,0,rel}', NULL, '/links/0/rel: is missing'),
    ('{links,0,rel}', '""', '/links/0/rel: must be a string that is not empty'),
    ('{links,0,href}', NULL, '/links/0/href: is missing'),
    ('{links,0,href}', 'null', '/links/0/href: must be a string that is not empty'),
    ('{links,0,type}', '1', '/links/0/type: must be a string'),
    ('{links,0,type}', 'null', NULL),
    ('{links,0,title}', '1', '/links/0/title: must be a string'),
    ('{assets,tas.nc}', '"x"', '/assets/tas.nc: must be an object'),
    ('{assets,a/b~c}', '{}', '/assets/a~1b~0c/href: is missing'),
    ('{assets,tas.nc,href}', '""', '/assets/tas.nc/href: must be a string that is not empty'),
    ('{assets,tas.nc,href}', '1', '/assets/tas.nc/href: must be a string that is not empty'),
    ('{assets,tas.nc,type}', '1', '/assets/tas.nc/type: must be a string'),
    ('{assets,tas.nc,title}', '1', '/assets/tas.nc/title: must be a string'),
    ('{assets,tas.nc,description}', '1', '/assets/tas.nc/description: must be a string'),
    ('{assets,tas.nc,roles}', 'null', NULL),
    ('{assets,tas.nc,roles}', '"data"', '/assets/tas.nc/roles: must be an array'),
    ('{assets,tas.nc,roles,0}', '1', '/assets/tas.nc/roles/0: must be a string'),
    ('{assets,tas.nc,alternate:name}', 'null', NULL),
    ('{assets,tas.nc,alternate:name}', '""', '/assets/tas.nc/alternate:name: must be a string that is not empty'),
    ('{assets,tas.nc,alternate}', 'null', NULL),
    ('{assets,tas.nc,alternate}', '{}', '/assets/tas.nc/alternate: must not be empty'),
    ('{assets,tas.nc,alternate}', '[]', '/assets/tas.nc/alternate: must be an object'),
    ('{assets,tas.nc,alternate,y.org}', 'null', '/assets/tas.nc/alternate/y.org: must be an object'),
    ('{assets,tas.nc,alternate,y.org,href}', NULL, '/assets/tas.nc/alternate/y.org/href: is missing'),
    ('{assets,tas.nc,alternate,y.org,title}', '1', '/assets/tas.nc/alternate/y.org/title: must be a string'),
    ('{assets,tas.nc,alternate,y.org,description}', '1', '/assets/tas.nc/alternate/y.org/description: must be a string'),
    ('{assets,tas.nc,alternate,y.org,alternate:name}', '1', '/assets/tas.nc/alternate/y.org/alternate:name: must be a string that is not empty')
) AS rules(place, value, problem);

-- Collections
SELECT is(pg_temp.problems_of_collection(pg_temp.changed(pg_temp.collection(), place, value)), problem, 'collection: ' || pg_temp.name_of(place, value))
FROM (VALUES
    ('{type}', '"Catalog"'::jsonb, '/type: must be "Collection"'),
    ('{id}', '"a/b"', '/id: must not contain "/", "?" or "#"'),
    ('{id}', '"collection"', '/id: must not be "collection", which names all collections'),
    ('{stac_version}', '"0.9.0"', '/stac_version: must be a version 1.0 or 1.1 of STAC, such as 1.1.0'),
    ('{stac_extensions}', '["x"]', '/stac_extensions/0: must be an http or https URL'),
    ('{description}', '""', '/description: must be a string that is not empty'),
    ('{license}', 'null', '/license: must be a string that is not empty'),
    ('{links}', '[{}]', E'/links/0/rel: is missing\n/links/0/href: is missing'),
    ('{title}', '1', '/title: must be a string'),
    ('{keywords}', '[1]', '/keywords/0: must be a string'),
    ('{providers}', '[{}]', '/providers/0/name: is missing'),
    ('{assets}', '{"x": {}}', '/assets/x/href: is missing'),
    ('{extent}', 'null', '/extent: must be an object'),
    ('{extent}', '{}', E'/extent/spatial: is missing\n/extent/temporal: is missing'),
    ('{extent,spatial}', '{}', '/extent/spatial/bbox: is missing'),
    ('{extent,spatial,bbox}', '[]', '/extent/spatial/bbox: must not be empty'),
    ('{extent,spatial,bbox}', '[0, -90, 360, 90]',
     (SELECT string_agg('/extent/spatial/bbox/' || n || ': must be an array of 4 or 6 finite numbers', E'\n') FROM generate_series(0, 3) n)),
    ('{extent,temporal}', '{}', '/extent/temporal/interval: is missing'),
    ('{extent,temporal,interval}', '[]', '/extent/temporal/interval: must not be empty'),
    ('{extent,temporal,interval}', '[null]', '/extent/temporal/interval/0: must be an array of two times, or null where open'),
    ('{extent,temporal,interval}', '[[null, null]]', NULL),
    ('{extent,temporal,interval,0}', '["1850-01-01T00:00:00Z"]', '/extent/temporal/interval/0: must be an array of two times, or null where open'),
    ('{extent,temporal,interval,0,1}', '"x"', '/extent/temporal/interval/0/1: must be an RFC 3339 time, such as 1850-01-16T12:00:00Z')
) AS rules(place, value, problem);
SELECT is(pg_temp.problems_of_collection('{}'),
          E'/id: is missing\n/type: is missing\n/links: is missing\n/extent: is missing\n/license: is missing\n/description: is missing\n/stac_version: is missing',
          'collection: all that is missing');

-- All problems at once, and their bounds
SELECT is(pg_temp.problems_of_item('{}'),
          E'/id: is missing\n/type: is missing\n/links: is missing\n/assets: is missing\n/geometry: is missing\n/properties: is missing\n/stac_version: is missing',
          'all that is missing');
SELECT is(pg_temp.problems_of_item(document), ': must be an object', 'no object: ' || document::text)
FROM (VALUES ('[{}]'::jsonb), ('"x"'), ('null')) AS documents(document);
SELECT is(pg_temp.problems_of_collection('[]'), ': must be an object', 'no object: a collection');
SELECT is(count(*), 0::bigint, 'SQL NULL has no problems') FROM esgf_stac.validate_item(NULL);
SELECT results_eq($$
    SELECT count(*), count(pointer), max(detail) FILTER (WHERE pointer IS NULL)
    FROM esgf_stac.validate_item(pg_temp.item() || jsonb_build_object('links', (SELECT jsonb_agg(0) FROM generate_series(1, 123))))
$$, $$VALUES (101::bigint, 100::bigint, 'and 23 more')$$, 'of 123 problems, 100 and the number of the rest');
SELECT is(pg_temp.problems_of_item(pg_temp.item() || jsonb_build_object('assets', jsonb_build_object(repeat('é', 101), 0))),
          '/assets/' || repeat('é', 100) || '...: must be an object', 'a long key is cut between characters');
SELECT is(pg_temp.problems_of_item(pg_temp.item() || jsonb_build_object('assets', (SELECT jsonb_object_agg(n, '{}'::jsonb) FROM generate_series(1, 70) n))),
          (SELECT string_agg('/assets/' || n || '/href: is missing', E'\n' ORDER BY n) FROM generate_series(1, 70) n),
          'the offsets of a large object are followed');

-- Who may call them
SELECT is(provolatile::text || proisstrict::text || proparallel::text, 'itrues', proname || ' is immutable, strict and parallel safe')
FROM pg_proc WHERE oid IN ('esgf_stac.validate_item(jsonb)'::regprocedure, 'esgf_stac.validate_collection(jsonb)'::regprocedure) ORDER BY proname;
SELECT ok(has_function_privilege('public', f, 'EXECUTE'), f || ' is public')
FROM (VALUES ('esgf_stac.validate_item(jsonb)'), ('esgf_stac.validate_collection(jsonb)')) AS functions(f);

SELECT * FROM finish();
ROLLBACK;
