-- Creates a connection with a unique name in a random account. Arguments: the path of the collection, a file with one
-- API key per line (repeated in proportion to the account's share), a file with a body in which ######## is replaced by
-- the number in the name, the first number, and the maximum of requests.
local keys, heads, count, before, after, number, last = {}, {}, 0, nil, nil, 0, 0
local random, format = math.random, string.format

function init(arguments)
    local file = assert(io.open(arguments[3], "rb"))
    local body = file:read("*a")
    file:close()
    local first, final = body:find("########", 1, true)
    before, after = body:sub(1, first - 1), body:sub(final + 1)
    wrk.headers["Content-Type"] = "application/json"
    for key in io.lines(arguments[2]) do
        if not heads[key] then
            wrk.headers["Authorization"] = key
            local message = wrk.format("POST", arguments[1], nil, body)
            heads[key] = message:sub(1, #message - #body)
        end
        count = count + 1
        keys[count] = key
    end
    number = tonumber(arguments[4])
    last = number + tonumber(arguments[5])
    -- Each run goes its own way, and the same way in every bench.
    math.randomseed(number)
end

function request()
    number = number + 1
    if number > last then wrk.thread:stop() end
    return heads[keys[random(count)]] .. before .. format("%08d", number) .. after
end
