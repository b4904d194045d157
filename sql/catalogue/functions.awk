# Makes each file a function of esgf_stac_internal that runs it, named by its path:
# sql/catalogue/tables.sql is catalogue_tables(). Its first line, a comment, is
# the function's comment, too. It is run as one text: statements of its own would
# each keep a plan for as long as the session lives.

FNR == 1 {
	if (function_name)
		end()
	function_name = FILENAME
	sub(/^sql\//, "", function_name)
	sub(/\.sql$/, "", function_name)
	gsub(/\//, "_", function_name)
	function_name = "esgf_stac_internal.\"" function_name "\"()"
	purpose = $0
	sub(/^-- /, "", purpose)
	gsub(/'/, "''", purpose)
	print "CREATE FUNCTION " function_name " RETURNS void"
	print "    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp"
	print "AS $catalogue$"
	print "BEGIN"
	print "EXECUTE $statements$"
}
{ print }
END { end() }

function end()
{
	print "$statements$;"
	print "END"
	print "$catalogue$;"
	print "COMMENT ON FUNCTION " function_name " IS '" purpose "';"
	print "REVOKE ALL ON FUNCTION " function_name " FROM PUBLIC;\n"
}
