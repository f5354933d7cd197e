-- Gets a random record. Arguments: a file with one path per line, and the name and value of a header.
local messages, count = {}, 0
local random = math.random

function init(arguments)
    wrk.headers[arguments[2]] = arguments[3]
    for path in io.lines(arguments[1]) do
        count = count + 1
        messages[count] = wrk.format("GET", path)
    end
end

function request()
    return messages[random(count)]
end
