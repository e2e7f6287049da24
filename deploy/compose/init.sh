#!/usr/bin/env bash
# Makes a role with a random password, and the secret that holds it, unless the
# secret exists. Environment: as for rotate.sh, and PGHOST, PGPORT and
# PGDATABASE, which go into the secret.
set -euo pipefail
: "${SECRET:?the name of the secret}" "${ROLE:?the role to make}"
config=${PGVALET_CONFIG:-config/pgvalet.toml}
if [ -n "${ADMIN_PASSWORD_FILE:-}" ]; then
    PGPASSWORD=$(cat "$ADMIN_PASSWORD_FILE")
    export PGPASSWORD
fi

if pgvalet --config "$config" secret describe "$SECRET" >/dev/null 2>&1; then
    echo "the secret $SECRET is there already"
    exit
fi

# In the environment, because every user can read the arguments of a command.
NEW_PASSWORD=$(pgvalet --config "$config" secret random)
export NEW_PASSWORD ROLE
psql -XAtq -v ON_ERROR_STOP=1 >/dev/null <<'SQL'
\getenv role ROLE
\getenv password NEW_PASSWORD
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
SELECT format('CREATE ROLE %I LOGIN', :'role')
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
ALTER ROLE :"role" PASSWORD :'password';
SQL
psql -XAtq -v ON_ERROR_STOP=1 <<'SQL' | pgvalet --config "$config" secret create "$SECRET" >/dev/null
\getenv role ROLE
\getenv password NEW_PASSWORD
\getenv host PGHOST
\getenv dbname PGDATABASE
\set port 5432
\getenv port PGPORT
SELECT json_build_object(
    'engine', 'postgres', 'host', :'host', 'port', :'port'::int, 'dbname', :'dbname',
    'username', :'role', 'password', :'password');
SQL
echo "made the role $ROLE and the secret $SECRET"
