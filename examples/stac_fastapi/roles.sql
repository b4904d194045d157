-- The application's logins: run once, by a superuser, in the catalogue's database.
--
-- stac_api changes items, for whoever it says. stac_curator changes collections, by rights of its own: an
-- administrator acts for nobody.

CREATE ROLE stac_api LOGIN IN ROLE esgf_stac_gateway;
CREATE ROLE stac_curator LOGIN IN ROLE esgf_stac_admin;
ALTER ROLE stac_api SET statement_timeout = '30s';
ALTER ROLE stac_api SET lock_timeout = '5s';
ALTER ROLE stac_api SET idle_in_transaction_session_timeout = '10s';
ALTER ROLE stac_curator SET statement_timeout = '30s';
ALTER ROLE stac_curator SET lock_timeout = '5s';
ALTER ROLE stac_curator SET idle_in_transaction_session_timeout = '10s';
