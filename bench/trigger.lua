-- SPDX-License-Identifier: Apache-2.0
-- wrk's side of http.py: triggers the tool `increment` of the panels counter0, counter1, … in turn,
-- and counts every answer that is not a success. PANELS (environment) says how many there are.
local panels = tonumber(os.getenv("PANELS"))
local requests, last, threads = {}, 0, {}
failures = 0 -- global: done() reads it from each thread

function setup(thread) table.insert(threads, thread) end

function init()
  local headers = {["Content-Type"] = "application/json"}
  for i = 0, panels - 1 do
    requests[i] = wrk.format("POST", "/panels/counter" .. i .. "/trigger/increment", headers, "{}")
  end
end

function request()
  last = (last + 1) % panels
  return requests[last]
end

function response(status, _, body)
  if status ~= 200 or not body:find('"status":"success"', 1, true) then failures = failures + 1 end
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout
  for _, thread in ipairs(threads) do failed = failed + thread:get("failures") end
  print(string.format("RESULT\t%d\t%d\t%d\t%d\t%d", summary.requests, failed, summary.duration,
                      latency:percentile(50), latency:percentile(99)))
end
