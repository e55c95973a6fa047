-- Prelude of claim.lua: what a worker has got already.

-- Jobs that the worker's last claim gave it without its knowledge, because the answer was lost on its way: leased to it,
-- with a token above the last one that it knows, in the order of their tokens. Their leases begin anew.
local function answer_again(last, max)
  local ids, missed = call('ZREVRANGE', LEASES, 0, 1999), {}
  for i, raw in ipairs(heads(ids)) do
    local h = raw and parse(raw)
    if h and h.state == 'r' and h.worker == worker and h.token > last then missed[#missed + 1] = { h.token, ids[i], raw } end
  end
  table.sort(missed, function(a, b) return a[1] < b[1] end)
  answer[4] = #missed > max and 1 or 0
  for i = 1, math.min(#missed, max) do
    local at, id = #answer, missed[i][2]
    answer[at + 1], answer[at + 2], answer[at + 3] = id, call('HGET', SPEC, id) or '', missed[i][3]
    granted = granted + 1
    later('ZADD', LEASES, deadline, id)
  end
end
