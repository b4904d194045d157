CREATE ROLE stac_gateway IN ROLE esgf_stac_gateway;
