#!/usr/bin/env bash
# lighttpd 1.4.69 serves ranges of every file, but sends ETag and Last-Modified only if it knows the file's media type. A
# download of `film.mp4` can be resumed safely. A download of the same bytes as `film.unknown` cannot: no header shows
# whether the file has changed, and If-Range cannot be used. nginx 1.22.1 and Apache 2.4 send both headers for either file.
#
# Output seen on 2026-11-29, with Debian's 1.4.69-1:
#
#     film.mp4       206, ETag, Last-Modified
#     film.unknown   206
#
# Needs Debian 12 (bookworm), bash and curl. Unpacks the package into a temporary directory and installs nothing. Fails if
# a result changes.
set -euo pipefail

directory=$(mktemp -d)
pid=''
end() {
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
    rm -rf "$directory"
}
trap end EXIT
cd "$directory"
apt-get download -qq lighttpd=1.4.69-1 2>/dev/null
dpkg-deb --extract lighttpd_1.4.69-1_*.deb root
mkdir files
printf '%01000d' 0 >files/film.mp4
touch -d '2026-11-20T10:00:00Z' files/film.mp4
cp --preserve=timestamps files/film.mp4 files/film.unknown

for _ in 1 2 3 4 5; do
    port=$((15000 + RANDOM % 15000))
    cat >server.conf <<TEXT
server.document-root = "$directory/files"
server.bind = "127.0.0.1"
server.port = $port
mimetype.assign = (".mp4" => "video/mp4")
TEXT
    root/usr/sbin/lighttpd -D -m root/usr/lib/lighttpd -f server.conf 2>/dev/null &
    pid=$!
    for _ in $(seq 50); do
        ! curl --silent --output /dev/null "http://127.0.0.1:$port/film.mp4" || break 2
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
done

failed=0
while read -r name expected; do
    head=$(curl --silent --dump-header - --output /dev/null --header 'Range: bytes=500-' "http://127.0.0.1:$port/$name")
    seen=$(printf '%s\n' "$head" | sed -n '1s/^[^ ]* \([0-9]*\).*/\1/p; s/^\(ETag\|Last-Modified\):.*/\1/p' | paste -sd, | sed 's/,/, /g')
    printf '%-14s %s\n' "$name" "$seen"
    [ "$seen" = "$expected" ] || failed=1
done <<'TEXT'
film.mp4 206, ETag, Last-Modified
film.unknown 206
TEXT
exit "$failed"
