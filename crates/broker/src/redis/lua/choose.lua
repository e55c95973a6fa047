-- Prelude of claim.lua: tenants in turn, or all without a tenant.

-- Gives out up to `max` jobs. Answers whether there may be more.
local function give(max)
  join_ring()
  if call('ZCARD', RING) == 0 then
    while granted < max and not enough(max) do
      if give_plain(max - granted, max) then return false end
      if stopped then break end
    end
    return true
  end
  local from, to = bounds('')
  if not call('ZSCORE', RING, 't:') and (fresh_ones() > 0 or call('ZLEXCOUNT', WAITING, from, to) > 0) then
    -- A removal first: it is allowed when Redis is out of memory, and what follows then is, too.
    call('ZREM', RING, 't:')
    call('ZADD', RING, known(5) or 0, 't:')
  end
  while granted < max and not enough(max) and not stopped do
    if not turn_round(max - granted, max) then return false end
  end
  flush()
  change('turn', meta[5])
  return true
end
