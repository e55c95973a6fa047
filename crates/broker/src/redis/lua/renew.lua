-- Extends leases, and the unique keys that their jobs hold until they end.
--
-- KEYS     the queue's
-- ARGV     3: lease in ms; then per lease: id, token
-- returns  a letter per lease: `h` held, `c` held and asked to stop, `l` lost
local lease, ids, tokens, status = tonumber(ARGV[3]), {}, {}, {}
for i = 4, #ARGV, 2 do
  ids[#ids + 1], tokens[#tokens + 1] = ARGV[i], ARGV[i + 1]
end
local mine = held(ids, tokens)
for i, id in ipairs(ids) do
  local h = mine[i]
  status[i] = not h and 'l' or h.cancel == 1 and 'c' or 'h'
  if h then
    later('ZADD', LEASES, now + lease, id)
    -- A lock whose time is over is gone, also when nobody has taken it since.
    if h.unique ~= '' and call('HGET', UNIQUE, h.unique) == id
      and tonumber(call('ZSCORE', UNTIL, h.unique) or 0) > now then
      call('ZADD', UNTIL, 'XX', 'GT', now + h.ttl, h.unique)
    end
  end
end
flush()
return table.concat(status)
