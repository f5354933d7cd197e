#!/usr/bin/env bash
# The whole life of a Vimeo connection, as a customer's shell script leads it.
#
# Run it with BASE_URL, API_KEY, VIMEO_CLIENT_IDENTIFIER, VIMEO_CLIENT_SECRET and VIMEO_ACCESS_TOKEN in the environment.
set -euo pipefail

name="Test Vimeo Connection"

# call METHOD PATH [BODY]: sets $status and $body.
call() {
    local answer data=()
    if [ $# -gt 2 ]; then data=(--header 'Content-Type: application/json' --data "$3"); fi
    answer=$(curl --silent --show-error --location --request "$1" "$BASE_URL$2" \
        --header "Authorization: $API_KEY" "${data[@]}" --write-out '\n%{http_code}')
    status=${answer##*$'\n'}
    body=${answer%$'\n'*}
}

# expect STATUS TEXT …: the last call was answered so, and its body holds these texts.
expect() {
    if [ "$status" != "$1" ]; then
        echo "expected $1, got $status: $body" >&2
        exit 1
    fi
    shift
    local text
    for text in "$@"; do
        case $body in
            *"$text"*) ;;
            *) echo "expected $text in: $body" >&2 && exit 1 ;;
        esac
    done
}

# new NAME CLIENT-SECRET: the body of a creation.
new() {
    cat <<JSON
{
  "name": "$1",
  "description": "Testing Vimeo connection via API",
  "enabled": true,
  "clientIdentifier": "$VIMEO_CLIENT_IDENTIFIER",
  "clientSecret": "$2",
  "accessToken": "$VIMEO_ACCESS_TOKEN"
}
JSON
}

call GET /v1/vimeo-connections
expect 200 '{"Items":[]}'
call POST /v1/vimeo-connections "$(new "$name" "$VIMEO_CLIENT_SECRET")"
expect 201 "\"name\":\"$name\"" '"version":1'
id=$(sed -n 's/.*"connectionId":"\([^"]*\)".*/\1/p' <<<"$body")
echo created

call POST /v1/vimeo-connections "$(new "$name" "$VIMEO_CLIENT_SECRET")"
expect 409 '"code":"CONNECTION_NAME_EXISTS"'
call POST /v1/vimeo-connections '{}'
expect 400 '"code":"INVALID_REQUEST_BODY"' '"name":"clientSecret"'
call POST /v1/vimeo-connections "$(new Wrong wrong)"
expect 422 '"code":"INVALID_VIMEO_CREDENTIALS"'

call GET /v1/vimeo-connections
expect 200 "\"connectionId\":\"$id\",\"name\":\"$name\""
call GET "/v1/vimeo-connections/$id"
expect 200 "\"connectionId\":\"$id\"" '"type":"VIMEO"' '"version":1'
echo found

call PUT "/v1/vimeo-connections/$id" '{"description":"Updated","enabled":false,"version":1}'
expect 200 "\"name\":\"$name\"" '"description":"Updated"' '"enabled":false' '"version":2'
call PUT "/v1/vimeo-connections/$id" '{"name":"Too late","version":1}'
expect 409 '"code":"VERSION_CONFLICT"' '"currentVersion":2'
echo updated

call DELETE "/v1/vimeo-connections/$id"
expect 204
call DELETE "/v1/vimeo-connections/$id"
expect 204
call GET "/v1/vimeo-connections/$id"
expect 404 '"code":"CONNECTION_NOT_FOUND"'
call GET /v1/vimeo-connections
expect 200 '{"Items":[]}'
echo deleted

API_KEY=pictai_this-key-is-unknown
call GET /v1/vimeo-connections
expect 401 '{"code":"UNAUTHORIZED","message":"Unauthorized"}'
echo done
