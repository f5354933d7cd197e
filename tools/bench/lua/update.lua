-- Changes connections in turn, so that none has two requests in flight. Arguments: the path of the collection, a file
-- with an API key, an id and a version per line, and a file with a body in which ######## is replaced by the version (at
-- most eight digits: JSON allows the spaces after it).
local before, versions, after, count, at = {}, {}, nil, 0, 0
local is_looked_at = false

function init(arguments)
    local file = assert(io.open(arguments[3], "rb"))
    local body = file:read("*a")
    file:close()
    wrk.headers["Content-Type"] = "application/json"
    for line in io.lines(arguments[2]) do
        local key, id, version = line:match("^(%S+) (%S+) (%d+)$")
        wrk.headers["Authorization"] = key
        local message = wrk.format("PUT", arguments[1] .. "/" .. id, nil, body)
        local first, last = message:find("########", 1, true)
        count = count + 1
        before[count], versions[count] = message:sub(1, first - 1), tonumber(version)
        after = message:sub(last + 1)
    end
end

function request()
    if not is_looked_at then
        -- wrk asks for one request to look at, which it does not send.
        is_looked_at = true
        return before[1] .. string.format("%-8d", versions[1]) .. after
    end
    at = at % count + 1
    local version = versions[at]
    versions[at] = version + 1
    return before[at] .. string.format("%-8d", version) .. after
end
