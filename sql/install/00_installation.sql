\echo Use "CREATE EXTENSION esgf_stac" to load this file. \quit
