\unset ECHO
\getenv srcdir PG_ABS_SRCDIR
\set access :srcdir '/access.psql'
\i :access
-- One change, one outcome: every row of "Who may" through all spellings, with all it needs, with each other role that will do,
-- and without each single right; a rule for any target, for the item's institution, and for another one.
SELECT plan((SELECT 5 * count(target) + count(verb) + 2 * count(request) + count(also) FROM access_case)::int);

SELECT pg_temp.attempts(c, spelling)
  FROM access_case c,
       unnest(ARRAY['merge patch', 'JSON patch', 'replacement', 'transact a patch', 'UPDATE']) WITH ORDINALITY AS s(spelling, n)
 WHERE c.target IS NOT NULL
 ORDER BY c.name, n;
SELECT pg_temp.attempts(c, 'verb') FROM access_case c WHERE verb IS NOT NULL ORDER BY c.name;
SELECT pg_temp.attempts(c, 'transact the verb') FROM access_case c WHERE request IS NOT NULL ORDER BY c.name;
SELECT pg_temp.attempts(c, 'transact it apart') FROM access_case c WHERE request IS NOT NULL ORDER BY c.name;
SELECT pg_temp.attempts(c, 'also') FROM access_case c WHERE also IS NOT NULL ORDER BY c.name;

SELECT * FROM finish();
ROLLBACK;
