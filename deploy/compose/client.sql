\set n random(1, 100)
SELECT :n, current_user, count(*) FROM pg_class;
