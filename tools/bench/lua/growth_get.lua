-- Gets a random connection with the key of its account. Arguments: the path of the collection, and a file with an API
-- key, an id and a version per line.
local messages, count = {}, 0
local random = math.random

function init(arguments)
    for key, id in io.open(arguments[2]):read("*a"):gmatch("(%S+) (%S+) %d+\n") do
        wrk.headers["Authorization"] = key
        count = count + 1
        messages[count] = wrk.format("GET", arguments[1] .. "/" .. id)
    end
end

function request()
    return messages[random(count)]
end
