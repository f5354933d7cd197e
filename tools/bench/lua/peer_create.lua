-- Creates a new record with each request. Arguments: the path and a file with a body, in which ######## is replaced by a
-- number, the first number, and the name and value of a header.
local message, number

function init(arguments)
    local file = assert(io.open(arguments[2], "rb"))
    local body = file:read("*a")
    file:close()
    wrk.headers[arguments[4]] = arguments[5]
    wrk.headers["Content-Type"] = "application/json"
    message = wrk.format("POST", arguments[1], nil, body)
    number = tonumber(arguments[3])
end

function request()
    number = number + 1
    return (message:gsub("########", string.format("%08d", number)))
end
