-- Gets a random connection. Arguments: the path of the collection, the API key, a file with one id per line.
local messages, count = {}, 0
local random = math.random

function init(arguments)
    wrk.headers["Authorization"] = arguments[2]
    for id in io.lines(arguments[3]) do
        count = count + 1
        messages[count] = wrk.format("GET", arguments[1] .. "/" .. id)
    end
end

function request()
    return messages[random(count)]
end
