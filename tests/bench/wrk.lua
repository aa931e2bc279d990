-- Sends the prepared requests of the file $REQUESTS (raw HTTP, separated by NUL) in turn and closes with one line of JSON.

local requests, turn = {}, 0
for request in assert(io.open(os.getenv("REQUESTS"), "rb")):read("*a"):gmatch("[^%z]+") do
  requests[#requests + 1] = request
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format('{"requests":%d,"seconds":%f,"p50":%f,"p99":%f,"failed":%d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.timeout + errors.status))
end
