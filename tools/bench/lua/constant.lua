-- Repeats one request. Arguments: the path, the API key (or nothing).
local message

function init(arguments)
    if arguments[2] then wrk.headers["Authorization"] = arguments[2] end
    message = wrk.format("GET", arguments[1])
end

function request()
    return message
end
