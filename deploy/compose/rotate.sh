#!/usr/bin/env bash
# Rotates the password of one role: once, or again and again with `--every SECONDS`.
#
#   SECRET          the secret's name
#   ROLE            the role whose password it holds
#   PGVALET_CONFIG  the configuration file that names the store
#   PG*             how psql reaches the database as a user who may ALTER ROLE;
#                   ADMIN_PASSWORD_FILE may be used instead of PGPASSWORD
#
# The new password is in the store, as AWSPENDING, before the database has it:
# wherever this script dies, the store has the password that the database has.
set -euo pipefail
: "${SECRET:?the name of the secret}" "${ROLE:?the role to rotate}"
config=${PGVALET_CONFIG:-config/pgvalet.toml}
if [ -n "${ADMIN_PASSWORD_FILE:-}" ]; then
    PGPASSWORD=$(cat "$ADMIN_PASSWORD_FILE")
    export PGPASSWORD
fi

secret() { pgvalet --config "$config" secret "$@"; }
query() { psql -XAtq -v ON_ERROR_STOP=1; }

rotate() {
    local previous version
    # In the environment, because every user can read the arguments of a command.
    local -x NEW_PASSWORD CURRENT DESCRIPTION
    NEW_PASSWORD=$(secret random)
    CURRENT=$(secret get "$SECRET" --reveal)
    DESCRIPTION=$(secret describe "$SECRET" --json)
    previous=$(
        query <<'SQL'
\getenv description DESCRIPTION
SELECT key FROM jsonb_each(:'description'::jsonb -> 'VersionIdsToStages')
    WHERE value ? 'AWSCURRENT';
SQL
    )
    version=$(
        query <<'SQL' | secret put "$SECRET" --stage AWSPENDING | tail -n 1
\getenv current CURRENT
\getenv password NEW_PASSWORD
SELECT :'current'::jsonb || jsonb_build_object('password', :'password');
SQL
    )
    query <<'SQL'
\getenv role ROLE
\getenv password NEW_PASSWORD
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
ALTER ROLE :"role" PASSWORD :'password';
SQL
    secret stage "$SECRET" AWSCURRENT --to "$version" --from "$previous" >/dev/null
    echo "$version"
}

export ROLE
if [ "${1:-}" = --every ]; then
    while sleep "$2"; do
        # As a process of its own: inside `rotate || …` the shell would not stop
        # at the first error.
        "$0" || echo "the rotation failed; the next one starts afresh" >&2
    done
else
    rotate
fi
