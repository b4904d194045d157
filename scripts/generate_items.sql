-- generate_items.sql
--	CMIP6 items of realistic shape and size for the demo, tests and benchmarks,
--	in a schema of its own: they need no extension. Everything follows from the
--	number of the item, so that each run sees the same items.
--
--	generator.item(n)                 the item of number n = 0, 1, 2, ...
--	generator.items(first, last)      those of a range
--	generator.replica(item, node)     its entries at another data node, by asset:
--	                                  what add_replica() takes
--	generator.collection()            the collection that they belong to
--	generator.node                    the data nodes: what esgf_stac.site holds
--
-- An item has 1 to 60 files, mostly 2, of some 730 bytes each: 4 KB in the
-- middle, 15 KB at the ninth decile, 50 KB at most.

CREATE SCHEMA generator;
SET search_path = generator, pg_catalog;

CREATE TABLE node (node text PRIMARY KEY, prefix text NOT NULL, globus_endpoint uuid);
INSERT INTO node VALUES
    ('esgf-data.dkrz.de', 'https://esgf-data.dkrz.de/thredds/fileServer/cmip6/', NULL),
    ('ceda.ac.uk', 'https://dap.ceda.ac.uk/badc/cmip6/data/', NULL),
    ('esgf-node.ornl.gov', 'https://esgf-node.ornl.gov/thredds/fileServer/css03_data/', NULL),
    ('eagle.alcf.anl.gov', 'https://g-52ba3.fd635.8443.data.globus.org/css03_data/', '8896f38e-68d1-4708-bce4-b1b3a3405809'),
    ('vesg.ipsl.upmc.fr', 'https://vesg.ipsl.upmc.fr/thredds/fileServer/cmip6/', NULL),
    ('esgf.nci.org.au', 'https://esgf.nci.org.au/thredds/fileServer/master/', NULL);

CREATE TABLE source (number serial, source_id text, institution_id text, institution text, description text,
                     source_type text[], grid_label text, resolution text, physics int, forcing int, node text);
INSERT INTO source (source_id, institution_id, institution, description, source_type, grid_label, resolution, physics, forcing, node) VALUES
    ('MPI-ESM1-2-HR', 'MPI-M', 'Max Planck Institute for Meteorology, Hamburg 20146, Germany', 'MPI-ESM1.2-HR (2017)', '{AOGCM}', 'gn', '100 km', 1, 1, 'esgf-data.dkrz.de'),
    ('MPI-ESM1-2-LR', 'MPI-M', 'Max Planck Institute for Meteorology, Hamburg 20146, Germany', 'MPI-ESM1.2-LR (2017)', '{AOGCM}', 'gn', '250 km', 1, 1, 'esgf-data.dkrz.de'),
    ('AWI-CM-1-1-MR', 'AWI', 'Alfred Wegener Institute, Helmholtz Centre for Polar and Marine Research, Am Handelshafen 12, 27570 Bremerhaven, Germany', 'AWI-CM 1.1 MR (2018)', '{AOGCM}', 'gn', '100 km', 1, 1, 'esgf-data.dkrz.de'),
    ('UKESM1-0-LL', 'MOHC', 'Met Office Hadley Centre, Fitzroy Road, Exeter, Devon, EX1 3PB, UK', 'UKESM1.0-N96ORCA1', '{AOGCM,AER,BGC,CHEM}', 'gn', '250 km', 1, 2, 'ceda.ac.uk'),
    ('HadGEM3-GC31-MM', 'MOHC', 'Met Office Hadley Centre, Fitzroy Road, Exeter, Devon, EX1 3PB, UK', 'HadGEM3-GC3.1-N216ORCA025', '{AOGCM,AER}', 'gn', '100 km', 1, 3, 'ceda.ac.uk'),
    ('IPSL-CM6A-LR', 'IPSL', 'Institut Pierre Simon Laplace, Paris 75252, France', 'IPSL-CM6A-LR (2017)', '{AOGCM,BGC}', 'gr', '250 km', 1, 1, 'vesg.ipsl.upmc.fr'),
    ('CNRM-CM6-1', 'CNRM-CERFACS', 'CNRM (Centre National de Recherches Meteorologiques, Toulouse 31057, France), CERFACS (Centre Europeen de Recherche et de Formation Avancee en Calcul Scientifique, Toulouse 31057, France)', 'CNRM-CM6-1 (2017)', '{AOGCM}', 'gr', '250 km', 1, 2, 'vesg.ipsl.upmc.fr'),
    ('CanESM5', 'CCCma', 'Canadian Centre for Climate Modelling and Analysis, Environment and Climate Change Canada, Victoria, BC V8P 5C2, Canada', 'CanESM5 (2019)', '{AOGCM}', 'gn', '500 km', 2, 1, 'esgf-node.ornl.gov'),
    ('CESM2', 'NCAR', 'National Center for Atmospheric Research, Climate and Global Dynamics Laboratory, 1850 Table Mesa Drive, Boulder, CO 80305, USA', 'CESM2 (2017)', '{AOGCM,BGC}', 'gn', '100 km', 1, 1, 'esgf-node.ornl.gov'),
    ('GISS-E2-1-G', 'NASA-GISS', 'Goddard Institute for Space Studies, New York, NY 10025, USA', 'GISS-E2.1G (2019)', '{AOGCM}', 'gn', '250 km', 1, 2, 'eagle.alcf.anl.gov'),
    ('BCC-ESM1', 'BCC', 'Beijing Climate Center, Beijing 100081, China', 'BCC-ESM 1 (2017)', '{AOGCM,AER,CHEM}', 'gn', '250 km', 1, 1, 'eagle.alcf.anl.gov'),
    ('ACCESS-ESM1-5', 'CSIRO', 'Commonwealth Scientific and Industrial Research Organisation, Aspendale, Victoria 3195, Australia', 'ACCESS-ESM1.5 (2019)', '{AOGCM}', 'gn', '250 km', 1, 1, 'esgf.nci.org.au');

CREATE TABLE experiment (number serial, experiment_id text, activity_id text, experiment text, first_year int, last_year int);
INSERT INTO experiment (experiment_id, activity_id, experiment, first_year, last_year) VALUES
    ('historical', 'CMIP', 'all-forcing simulation of the recent past', 1850, 2014),
    ('piControl', 'CMIP', 'pre-industrial control', 1850, 2349),
    ('amip', 'CMIP', 'AMIP', 1979, 2014),
    ('abrupt-4xCO2', 'CMIP', 'abrupt quadrupling of CO2', 1850, 1999),
    ('1pctCO2', 'CMIP', '1 percent per year increase in CO2', 1850, 1999),
    ('ssp126', 'ScenarioMIP', 'update of RCP2.6 based on SSP1', 2015, 2100),
    ('ssp245', 'ScenarioMIP', 'update of RCP4.5 based on SSP2', 2015, 2100),
    ('ssp370', 'ScenarioMIP', 'gap-filling scenario reaching 7.0 based on SSP3', 2015, 2100),
    ('ssp585', 'ScenarioMIP', 'update of RCP8.5 based on SSP5', 2015, 2100),
    ('hist-aer', 'DAMIP', 'historical anthropogenic aerosols-only run', 1850, 2020);

CREATE TABLE variable (number serial, table_id text, variable_id text, standard_name text, long_name text, units text, realm text, frequency text);
INSERT INTO variable (table_id, variable_id, standard_name, long_name, units, realm, frequency) VALUES
    ('Amon', 'tas', 'air_temperature', 'Near-Surface Air Temperature', 'K', 'atmos', 'mon'),
    ('Amon', 'pr', 'precipitation_flux', 'Precipitation', 'kg m-2 s-1', 'atmos', 'mon'),
    ('Amon', 'psl', 'air_pressure_at_mean_sea_level', 'Sea Level Pressure', 'Pa', 'atmos', 'mon'),
    ('Amon', 'ua', 'eastward_wind', 'Eastward Wind', 'm s-1', 'atmos', 'mon'),
    ('Amon', 'zg', 'geopotential_height', 'Geopotential Height', 'm', 'atmos', 'mon'),
    ('day', 'tasmax', 'air_temperature', 'Daily Maximum Near-Surface Air Temperature', 'K', 'atmos', 'day'),
    ('day', 'tasmin', 'air_temperature', 'Daily Minimum Near-Surface Air Temperature', 'K', 'atmos', 'day'),
    ('day', 'sfcWind', 'wind_speed', 'Daily-Mean Near-Surface Wind Speed', 'm s-1', 'atmos', 'day'),
    ('Omon', 'tos', 'sea_surface_temperature', 'Sea Surface Temperature', 'degC', 'ocean', 'mon'),
    ('Omon', 'thetao', 'sea_water_potential_temperature', 'Sea Water Potential Temperature', 'degC', 'ocean', 'mon'),
    ('Omon', 'so', 'sea_water_salinity', 'Sea Water Salinity', '0.001', 'ocean', 'mon'),
    ('SImon', 'siconc', 'sea_ice_area_fraction', 'Sea-Ice Area Percentage (Ocean Grid)', '%', 'seaIce', 'mon'),
    ('Lmon', 'mrso', 'mass_content_of_water_in_soil', 'Total Soil Moisture Content', 'kg m-2', 'land', 'mon'),
    ('AERmon', 'od550aer', 'atmosphere_optical_thickness_due_to_ambient_aerosol_particles', 'Ambient Aerosol Optical Thickness at 550nm', '1', 'aerosol', 'mon');

-- A number in [0, 1) for item n, by purpose: what a die would say, each time the same.
CREATE FUNCTION draw(n int, purpose text) RETURNS float8
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT ('x' || substr(md5(n || purpose), 1, 8))::bit(32)::bigint / 4294967296.0::float8;
END;

-- How many files item n has: most datasets have few, some have many.
CREATE FUNCTION files(n int) RETURNS int
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN u < 0.20 THEN 1
                WHEN u < 0.65 THEN 2
                WHEN u < 0.80 THEN 3 + floor((u - 0.65) / 0.15 * 3)::int
                WHEN u < 0.95 THEN 6 + floor((u - 0.80) / 0.15 * 15)::int
                ELSE 21 + floor((u - 0.95) / 0.05 * 40)::int
           END
      FROM draw(n, 'files') u;
END;

CREATE FUNCTION item(n int) RETURNS jsonb
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    WITH facets AS (
        SELECT s.*, e.experiment_id, e.activity_id, e.experiment, e.first_year, e.last_year - e.first_year + 1 AS years,
               v.table_id, v.variable_id, v.standard_name, v.long_name, v.units, v.realm, v.frequency,
               d.prefix, d.globus_endpoint, 1 + n / (12 * 14 * 10) AS realization,
               date '2018-06-01' + floor(draw(n, 'date') * 1000)::int AS day
          FROM source s, experiment e, variable v, node d
         WHERE s.number = 1 + n % 12 AND v.number = 1 + n / 12 % 14 AND e.number = 1 + n / (12 * 14) % 10
           AND d.node = s.node
    ), names AS (
        SELECT f.*, concat('r', realization, 'i1p', physics, 'f', forcing) AS variant,
               to_char(day, 'YYYYMMDD') AS version, least(files(n), years) AS files
          FROM facets f
    ), places AS (
        SELECT f.*,
               concat_ws('/', 'CMIP6', activity_id, institution_id, source_id, experiment_id, variant, table_id,
                         variable_id, grid_label, 'v' || version) AS folder,
               concat_ws('.', 'CMIP6', activity_id, institution_id, source_id, experiment_id, variant, table_id,
                         variable_id, grid_label) AS base_id
          FROM names f
    ), file AS (
        SELECT format('%s_%s_%s_%s_%s_%s_%s%s-%s%s.nc', variable_id, table_id, source_id, experiment_id, variant, grid_label,
                      from_year, month_day_first, to_year, month_day_last) AS name,
               folder, prefix, node,
               floor(1e7 + 9e8 * draw(n, 'size' || i))::bigint AS size,
               encode(sha256(convert_to(concat(n, ' ', i), 'UTF8')), 'hex') AS checksum,
               md5(concat('tracking', n, ' ', i))::uuid AS tracking_id,
               to_char(day - 3 + make_time(i % 24, 20, 43.0), 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created,
               to_char(day + make_time(6, i % 60, 16.0), 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS updated
          FROM places, generate_series(0, files - 1) i,
               LATERAL (SELECT to_char(first_year + years * i / files, 'FM0000') AS from_year,
                               to_char(first_year + years * (i + 1) / files - 1, 'FM0000') AS to_year,
                               CASE frequency WHEN 'day' THEN '0101' ELSE '01' END AS month_day_first,
                               CASE frequency WHEN 'day' THEN '1231' ELSE '12' END AS month_day_last) span
    ), assets AS (
        SELECT jsonb_object_agg(name, jsonb_build_object(
                   'href', concat(prefix, folder, '/', name),
                   'type', 'application/netcdf',
                   'roles', jsonb_build_array('data'),
                   'description', 'HTTPServer Link',
                   'protocol', 'https',
                   'alternate:name', node,
                   'file:size', size,
                   'file:checksum', '1220' || checksum,
                   'file:local_path', concat(folder, '/', name),
                   'cmip6:tracking_id', 'hdl:21.14100/' || tracking_id,
                   'created', created,
                   'updated', updated)) AS data,
               sum(size) AS size
          FROM file
    )
    SELECT jsonb_build_object(
        'type', 'Feature',
        'stac_version', '1.1.0',
        'stac_extensions', jsonb_build_array(
            'https://stac-extensions.github.io/alternate-assets/v1.2.0/schema.json',
            'https://stac-extensions.github.io/file/v2.1.0/schema.json',
            'https://esgf.github.io/stac-transaction-api/cmip6/v3.0.4/schema.json'),
        'id', concat(base_id, '.v', version),
        'collection', 'CMIP6',
        'bbox', '[-180, -90, 180, 90]'::jsonb,
        'geometry', '{"type": "Polygon", "coordinates": [[[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]]}'::jsonb,
        'links', jsonb_build_array(
            jsonb_build_object('rel', 'cite-as', 'type', 'application/json', 'title', 'Citation URL',
                'href', concat('http://cera-www.dkrz.de/WDCC/meta/CMIP6/', base_id, '.v', version, '.json')),
            jsonb_build_object('rel', 'describedby', 'type', 'text/html', 'title', 'ES-DOC',
                'href', concat_ws('.', 'https://furtherinfo.es-doc.org/CMIP6', institution_id, source_id, experiment_id, 'none', variant))),
        'properties', jsonb_build_object(
            'title', base_id,
            'base_id', base_id,
            'version', version,
            'latest', true,
            'retracted', false,
            'size', assets.size,
            'created', to_char(day, 'YYYY-MM-DD"T15:14:15.270177Z"'),
            'updated', to_char(day, 'YYYY-MM-DD"T15:14:15.277136Z"'),
            'datetime', NULL,
            'start_datetime', concat(to_char(first_year, 'FM0000'), '-01-01T00:00:00Z'),
            'end_datetime', concat(to_char(first_year + years - 1, 'FM0000'), '-12-30T00:00:00Z'),
            'license', 'CC-BY-4.0',
            'cmip6:conventions', jsonb_build_array('CF-1.7', 'CMIP-6.2'),
            'cmip6:activity_id', jsonb_build_array(activity_id),
            'cmip6:institution_id', institution_id,
            'cmip6:institution', institution,
            'cmip6:source_id', source_id,
            'cmip6:source', description,
            'cmip6:source_type', to_jsonb(source_type),
            'cmip6:experiment_id', experiment_id,
            'cmip6:experiment', experiment,
            'cmip6:sub_experiment_id', 'none',
            'cmip6:sub_experiment', 'none',
            'cmip6:variant_label', variant,
            'cmip6:member_id', variant,
            'cmip6:realization_index', realization::text,
            'cmip6:initialization_index', '1',
            'cmip6:physics_index', physics::text,
            'cmip6:forcing_index', forcing::text,
            'cmip6:table_id', table_id,
            'cmip6:frequency', frequency,
            'cmip6:realm', jsonb_build_array(realm),
            'cmip6:product', 'model-output',
            'cmip6:variable_id', variable_id,
            'cmip6:variable_cf_standard_name', standard_name,
            'cmip6:variable_long_name', long_name,
            'cmip6:variable_units', units,
            'cmip6:grid_label', grid_label,
            'cmip6:nominal_resolution', resolution,
            'cmip6:data_specs_version', '01.00.29',
            'cmip6:pid', concat('hdl:21.14100/', md5(concat('pid', n))::uuid)),
        'assets', assets.data || CASE WHEN globus_endpoint IS NULL THEN '{}' ELSE jsonb_build_object(
            'globus', jsonb_build_object(
                'href', concat('https://app.globus.org/file-manager?origin_id=', globus_endpoint,
                               '&origin_path=/css03_data/', folder, '/'),
                'type', 'text/html',
                'roles', jsonb_build_array('data'),
                'description', 'Globus Web App Link',
                'protocol', 'globus',
                'alternate:name', node,
                'file:local_path', folder,
                'created', to_char(day, 'YYYY-MM-DD"T10:15:56Z"'),
                'updated', to_char(day, 'YYYY-MM-DD"T10:15:56Z"'))) END)
      FROM places, assets;
END;
COMMENT ON FUNCTION item(int) IS 'the item of number n = 0, 1, 2, ...: each time the same, each n another id';

CREATE FUNCTION items(first int, last int) RETURNS SETOF jsonb
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT item(n) FROM generate_series(first, last) n;
END;
COMMENT ON FUNCTION items(int, int) IS 'the items of numbers first to last';

CREATE FUNCTION replica(item jsonb, node text) RETURNS jsonb
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT jsonb_object_agg(asset.key, jsonb_build_object(
               'href', concat(d.prefix, asset.value ->> 'file:local_path'),
               'type', asset.value -> 'type',
               'roles', asset.value -> 'roles',
               'description', asset.value -> 'description',
               'protocol', asset.value -> 'protocol',
               'alternate:name', d.node,
               'created', asset.value -> 'created',
               'updated', asset.value -> 'updated'))
      FROM node d, jsonb_each(item -> 'assets') asset
     WHERE d.node = replica.node AND asset.key <> 'globus';
END;
COMMENT ON FUNCTION replica(jsonb, text) IS 'the entries of an item at another data node, by asset key, as add_replica() takes them';

CREATE FUNCTION collection() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT '{"type": "Collection", "stac_version": "1.1.0", "id": "CMIP6", "title": "CMIP6", "license": "CC-BY-4.0",
             "description": "Coupled Model Intercomparison Project, phase 6", "links": [],
             "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]},
                        "temporal": {"interval": [["1850-01-01T00:00:00Z", null]]}}}'::jsonb;
END;
COMMENT ON FUNCTION collection() IS 'the collection of the generated items';

RESET search_path;
