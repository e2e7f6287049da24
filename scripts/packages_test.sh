#!/usr/bin/env bash
# Installs the package for Debian in a fresh Debian, does the main job there as the user that the
# package made, upgrades and purges it; looks into the other packages. Needs root. The Debian is
# made once, by debootstrap, in .cache; each run works on a copy of it.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly suite=trixie packages=$PWD/target/packages
readonly debian=$PWD/.cache/debian-$suite root=$PWD/target/debian
readonly config=/etc/pgvalet/pgvalet.toml

say() { printf 'packages-test: %s\n' "$*"; }
fail() {
    say "FAILED: $*" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || fail "a change of root needs root"
[ -e "$debian/complete" ] || {
    say "making a Debian ($suite) with Postgres in .cache, two minutes"
    rm -rf "$debian"
    debootstrap --variant=minbase --include=postgresql,ca-certificates,procps,adduser \
        "$suite" "$debian" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$debian.log" ||
        fail "debootstrap: $(tail -n 3 "$debian.log")"
    touch "$debian/complete"
}

# In a process namespace of its own: what still runs at the end ends with it.
inside() {
    unshare --pid --fork --mount --root="$root" --mount-proc=/proc --wd=/ \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"
}

rm -rf "$root"
cp -a "$debian" "$root"
trap 'rm -rf "$root"' EXIT
# The devices of a machine, and no services to be started.
for device in null zero random urandom; do
    [ -c "$root/dev/$device" ] || fail "debootstrap made no /dev/$device"
done
cp "$packages"/pgvalet_*.deb "$root/pgvalet.deb"

say "install"
inside dpkg --install /pgvalet.deb >/dev/null || fail "dpkg --install"
inside sh -euc '
    getent passwd pgvalet >/dev/null
    [ "$(stat -c %U:%G:%a /var/lib/pgvalet)" = pgvalet:pgvalet:700 ]
    for file in /usr/share/man/man1/pgvalet.1.gz /usr/share/man/man1/pgvalet-secret-create.1.gz \
        /usr/share/bash-completion/completions/pgvalet /usr/share/zsh/vendor-completions/_pgvalet \
        /usr/share/fish/vendor_completions.d/pgvalet.fish /usr/share/pgvalet/schema.json \
        /usr/lib/systemd/system/pgvalet.service /usr/lib/systemd/system/pgvalet@.service \
        /usr/lib/systemd/system/pgvalet.socket /usr/lib/sysusers.d/pgvalet.conf \
        /usr/lib/pgvalet/replace-running \
        /usr/share/doc/pgvalet/THIRD-PARTY-LICENSES.txt /usr/share/doc/pgvalet/examples/full.toml; do
        [ -s "$file" ] || { echo "there is no $file"; exit 1; }
    done
    grep -q "ExecStart=/usr/bin/pgvalet " /usr/lib/systemd/system/pgvalet.service
' || fail "something of the package is missing"

say "the demo, from the package alone"
inside pgvalet demo --plain --seconds 8 >"$root.demo" 2>&1 || fail "demo: $(tail -n 20 "$root.demo")"
grep -Eq '^errors +0' "$root.demo" || fail "demo: $(cat "$root.demo")"

say "the main job: a client without a password, before and after a rotation"
cat >"$root/main-job" <<'JOB'
set -eu
pg_ctlcluster "$(ls /etc/postgresql)" main start
postgres() { runuser -u postgres -- psql -XAtqc "$1"; }
pgvalet() { runuser -u pgvalet -- pgvalet --config /etc/pgvalet/pgvalet.toml "$@"; }
password=$(head -c 18 /dev/urandom | base64)
postgres "CREATE ROLE orders LOGIN PASSWORD '$password'"
postgres "CREATE DATABASE orders OWNER orders"
cat >>/etc/pgvalet/pgvalet.toml <<'TOML'
[database.orders]
secret = "prod/orders"

[[client]]
name = "local"
network = ["127.0.0.1"]
databases = ["orders"]
TOML
printf '{"host":"127.0.0.1","port":5432,"dbname":"orders","username":"orders","password":"%s"}' "$password" |
    pgvalet secret create prod/orders >/dev/null
pgvalet check
# Where the unit starts it.
cd /var/lib/pgvalet
pgvalet run 2>/tmp/pgvalet.log &
asked() { psql -XAtwc 'SELECT current_user' 'host=127.0.0.1 port=6432 user=anyone dbname=orders'; }
for _ in $(seq 100); do
    asked >/dev/null 2>&1 && break
    sleep 0.1
done
[ "$(asked)" = orders ]
before=$(postgres "SELECT rolpassword FROM pg_authid WHERE rolname = 'orders'")
pgvalet rotate prod/orders
[ "$(asked)" = orders ]
[ "$before" != "$(postgres "SELECT rolpassword FROM pg_authid WHERE rolname = 'orders'")" ]
pgvalet audit verify
[ "$(stat -c %U:%a /var/lib/pgvalet/store.key)" = pgvalet:600 ]
JOB
inside sh /main-job >"$root.job" 2>&1 || fail "the main job: $(cat "$root.job" "$root/tmp/pgvalet.log" 2>/dev/null)"

say "upgrade: the configuration that was changed stays, and so do the secrets"
upgrade=$(mktemp -d)
dpkg-deb --raw-extract "$root/pgvalet.deb" "$upgrade"
sed -i 's/^Version: .*/&.1/' "$upgrade/DEBIAN/control"
dpkg-deb -Zgzip -z1 --root-owner-group --build "$upgrade" "$root/newer.deb" >/dev/null
rm -rf "$upgrade"
before=$(sha256sum <"$root$config")
inside dpkg --install /newer.deb >/dev/null || fail "dpkg --install of the newer one"
[ "$before" = "$(sha256sum <"$root$config")" ] || fail "the upgrade changed $config"
inside dpkg-query --showformat '${Version}' --show pgvalet | grep -q '\.1$' || fail "it is not the newer one"
inside runuser -u pgvalet -- pgvalet --config "$config" secret list | grep -q prod/orders ||
    fail "the secret is gone"

say "remove, purge: nothing is left but the store"
inside dpkg --remove pgvalet >/dev/null || fail "dpkg --remove"
[ -e "$root$config" ] || fail "remove took the configuration"
inside dpkg --purge pgvalet >"$root.purge" || fail "dpkg --purge"
grep -q '/var/lib/pgvalet stays' "$root.purge" || fail "purge did not say that the store stays"
left=$(inside find / -xdev -path /proc -prune -o -name '*pgvalet*' -not -path '/var/lib/pgvalet*' \
    -not -path '/var/lib/dpkg/*' -not -path '/tmp/*' -not -name pgvalet.deb -print)
[ -z "$left" ] || fail "left behind: $left"
[ -s "$root/var/lib/pgvalet/store.db" ] || fail "purge took the store"

if command -v rpm >/dev/null; then
    say "the package for Fedora has the same files"
    files() { sed 's#^\.##; s#site-functions#vendor-completions#; /\/$/d; /copyright$/d' | sort; }
    diff <(dpkg-deb --fsys-tarfile "$root/pgvalet.deb" | tar --list | files) \
        <(rpm --query --package --list "$packages"/*.rpm | files) || fail "the lists differ"
    rpm --query --package --configfiles "$packages"/*.rpm | grep -qx "$config" || fail "$config is no configuration"
else
    say "NOT TESTED: the .rpm; rpm is not installed"
fi

say "checksums, bill of materials, formula"
(cd "$packages" && sha256sum --check --quiet SHA256SUMS) || fail "checksums"
python3 - "$packages"/*.cdx.json <<'PYTHON' || fail "bill of materials"
import json, sys
bill = json.load(open(sys.argv[1]))
names = {component["name"] for component in bill["components"]}
assert {"rustls", "tokio", "aws-lc-rs"} <= names and not {"proptest", "rcgen"} & names, names
known = {component["bom-ref"] for component in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
assert all(entry["ref"] in known and set(entry["dependsOn"]) <= known for entry in bill["dependencies"])
PYTHON
grep -q "sha256 \"$(sha256sum "$packages"/*-source.tar.gz | cut -d' ' -f1)\"" "$packages/pgvalet.rb" ||
    fail "the formula has another checksum"
if command -v ruby >/dev/null; then ruby -c "$packages/pgvalet.rb" >/dev/null || fail "the formula"; fi

if [ -x .cache/deploy/bin/python ]; then
    say "the chart renders from its archive"
    .cache/deploy/bin/python - "$packages"/pgvalet-chart-*.tgz 2>/dev/null <<'PYTHON' || fail "the chart"
import sys, yaml
from helm_python import chart
values = yaml.safe_load(open("deploy/helm/pgvalet/ci/monitored-values.yaml"))
rendered = chart.Chart.load(sys.argv[1]).render(values, name="pgvalet", namespace="db")
assert "PgvaletDown" in rendered["pgvalet/templates/monitoring.yaml"]
PYTHON
else
    say "NOT TESTED: the archive of the chart; scripts/setup.sh makes .cache/deploy"
fi

say "passed"
