#!/usr/bin/env bash
# Packs a program that is built already: .deb, .rpm, tarballs, the formula of Homebrew, the chart,
# and what belongs to them (bill of materials, licences, checksums) in target/packages.
#
#   BINARY=target/pgo/pgvalet scripts/package.sh      default: target/reproducible/release/pgvalet
#   REVISION=2                                        of the packages; default: 1
#
# The same commit and the same program make the same files: every time in them is that of the
# commit.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly binary=${BINARY:-target/reproducible/release/pgvalet} revision=${REVISION:-1}
readonly packages=$PWD/target/packages stage=$PWD/target/stage
PATH=$PWD/.cache/tools/bin:$PATH
version=$(sed -n 's/^version = "\(.*\)"/\1/p;T;q' Cargo.toml)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
host=$(rustc -vV | sed -n 's/^host: //p')
umask 022

say() { printf 'package: %s\n' "$*"; }

[ -x "$binary" ] || {
    say "there is no $binary: make packages builds one, or name another in BINARY" >&2
    exit 1
}

# What all packages have in common, in the order of Cargo.toml's assets.
stage() {
    rm -rf "$stage" "$packages"
    mkdir -p "$packages" "$stage"/{bin,man,completions,systemd,examples,doc}
    install -m 755 "$binary" "$stage/bin/pgvalet"
    strip --strip-debug "$stage/bin/pgvalet"
    local pgvalet=$stage/bin/pgvalet
    "$pgvalet" man --directory "$stage/man"
    gzip --no-name --best "$stage"/man/*.1
    "$pgvalet" completions bash >"$stage/completions/pgvalet.bash"
    "$pgvalet" completions fish >"$stage/completions/pgvalet.fish"
    "$pgvalet" completions zsh >"$stage/completions/_pgvalet"
    "$pgvalet" config schema >"$stage/schema.json"
    for unit in deploy/pgvalet.service deploy/pgvalet@.service deploy/pgvalet.socket; do
        sed 's#/usr/local/bin/pgvalet#/usr/bin/pgvalet#' "$unit" >"$stage/systemd/${unit##*/}"
    done
    cp deploy/packages/sysusers.conf deploy/packages/pgvalet.toml "$stage"
    install -m 755 deploy/packages/replace-running "$stage"
    for example in config/*.toml; do
        sed '1s#^\#:schema .*#\#:schema file:///usr/share/pgvalet/schema.json#' "$example" \
            >"$stage/examples/${example##*/}"
    done
    cp LICENSE-APACHE LICENSE-MIT README.md "$stage/doc"
    python3 scripts/bill.py "$packages/pgvalet-$version.cdx.json" "$stage/doc/THIRD-PARTY-LICENSES.txt"
    cp "$stage/doc/THIRD-PARTY-LICENSES.txt" "$packages"
}

debian() {
    cargo deb --quiet --no-build --no-strip --deb-revision "$revision" --output "$packages/"
}

rpm() {
    cargo generate-rpm --set-metadata "release = \"$revision\"" --output "$packages/" \
        --source-date "$SOURCE_DATE_EPOCH"
}

# tar with the same order, owners and times each time.
archive() {
    local file=$1
    shift
    tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
        --create "$@" | gzip --no-name --best >"$file"
}

# The files of the stage, with this program, under a name that says for which machines it is.
tarball() {
    local name=pgvalet-$version-$1
    archive "$packages/$name.tar.gz" --directory "$stage" --transform "s#^\.#$name#" .
}

# Helm's archive, with the files that the chart links to.
chart() {
    archive "$packages/pgvalet-chart-$version.tgz" --dereference --exclude=pgvalet/ci \
        --exclude=provisioning --directory deploy/helm pgvalet
}

# A static program runs on any Linux. It comes last: it takes the place of the other in the stage.
static() {
    local triple=${host/-gnu/-musl}
    if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$triple" ]; then
        say "no static tarball: \`rustup target add $triple\` and a musl-gcc bring it"
        return
    fi
    TRIPLE=$triple scripts/reproducible.sh . target/reproducible
    install -m 755 "target/reproducible/$triple/release/pgvalet" "$stage/bin/pgvalet"
    strip --strip-debug "$stage/bin/pgvalet"
    tarball "$triple"
}

homebrew() {
    local source=$packages/pgvalet-$version-source.tar.gz checksum
    git archive --format=tar --prefix="pgvalet-$version/" HEAD | gzip --no-name --best >"$source"
    checksum=$(sha256sum "$source" | cut -d' ' -f1)
    sed "s/@VERSION@/$version/g; s/@SHA256@/$checksum/" \
        deploy/packages/pgvalet.rb.in >"$packages/pgvalet.rb"
}

stage
debian
rpm
tarball "$host"
homebrew
chart
static
(cd "$packages" && sha256sum -- * >SHA256SUMS)
say "target/packages:"
(cd "$packages" && ls -sh1 -- *)
