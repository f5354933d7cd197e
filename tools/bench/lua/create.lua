-- Creates a connection with a unique name. Arguments: the path of the collection, the API key, a file with a body in
-- which ######## is replaced by the number in the name, and the first number.
local before, after, number

function init(arguments)
    local file = assert(io.open(arguments[3], "rb"))
    local body = file:read("*a")
    file:close()
    wrk.headers["Authorization"] = arguments[2]
    wrk.headers["Content-Type"] = "application/json"
    local message = wrk.format("POST", arguments[1], nil, body)
    local first, last = message:find("########", 1, true)
    before, after = message:sub(1, first - 1), message:sub(last + 1)
    number = tonumber(arguments[4])
end

function request()
    number = number + 1
    return before .. string.format("%08d", number) .. after
end
