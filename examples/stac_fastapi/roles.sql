-- The application's roles: run once, by a superuser, in the catalogue's database.
--
-- stac_api is its login. It works as stac_gateway, which may change items for whoever it says; for those
-- who may change collections it takes stac_curator, which is an administrator besides.

CREATE ROLE stac_gateway IN ROLE esgf_stac_gateway;
CREATE ROLE stac_curator IN ROLE esgf_stac_gateway, esgf_stac_admin;
CREATE ROLE stac_api LOGIN NOINHERIT IN ROLE stac_gateway, stac_curator;
ALTER ROLE stac_api SET role TO stac_gateway;
ALTER ROLE stac_api SET statement_timeout = '30s';
ALTER ROLE stac_api SET lock_timeout = '5s';
ALTER ROLE stac_api SET idle_in_transaction_session_timeout = '10s';
