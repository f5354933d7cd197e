-- Prepended to every script: prints one line for the program that started wrk. Latencies are in microseconds, corrected
-- by wrk for requests that a slow response delayed.
function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        'MEASURED {"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"p999_us":%d,' ..
        '"errors":{"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d}}\n',
        summary.requests, summary.duration,
        latency:percentile(50.0), latency:percentile(99.0), latency:percentile(99.9),
        errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
