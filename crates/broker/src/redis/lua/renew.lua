-- Extends leases, and the unique keys that their jobs hold until they end.
--
-- KEYS     the queue's
-- ARGV     3: lease in ms; then per lease: id, token
-- returns  a letter per lease: `h` held, `c` held and asked to stop, `l` lost
local lease, ids, tokens, status = tonumber(ARGV[3]), {}, {}, {}
for i = 4, #ARGV, 2 do
  ids[#ids + 1], tokens[#tokens + 1] = ARGV[i], ARGV[i + 1]
end
local mine, longer = held(ids, tokens), {}
for i, id in ipairs(ids) do
  local h = mine[i]
  status[i] = not h and 'l' or h.cancel == 1 and 'c' or 'h'
  if h then
    -- The removal is not for its own sake: a script that begins with one is let through when Redis is out of memory,
    -- and jobs that run must not lose their leases then.
    later('ZREM', LEASES, id)
    later('ZADD', LEASES, now + lease, id)
    -- A lock whose time is over is gone, also when nobody has taken it since.
    if h.unique ~= '' and call('HGET', UNIQUE, h.unique) == id
      and tonumber(call('ZSCORE', UNTIL, h.unique) or 0) > now then
      longer[#longer + 1] = { now + h.ttl, h.unique }
    end
  end
end
flush()
for _, lock in ipairs(longer) do call('ZADD', UNTIL, 'XX', 'GT', lock[1], lock[2]) end
return table.concat(status)
