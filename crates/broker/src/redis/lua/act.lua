-- Prelude: what operators do to a job that does not run. The rules are those of lovage_core::transition.

-- Does `action` to the job and says so; answers false if its state does not allow it.
local function act(action, id, h)
  if h.state == 'r' then return false end
  if action == 'delete' then
    leave(id, h)
    release(id, h)
    if IDLE[h.state] then deeper(h, -1) end
    free(id, h, true)
    for _, hash in ipairs({ SPEC, HEAD, RESULTS, ERRORS, PROGRESS }) do later('HDEL', hash, id) end
    say('z', '-', h.attempt, id)
  elseif action == 'retry' then
    if h.state == 'a' then return false end
    leave(id, h)
    if ENDED[h.state] then
      h.failed, h.lost, h.expires = 0, 0, 0
      later('HDEL', RESULTS, id)
      later('HDEL', PROGRESS, id)
      -- It holds its unique key again if nobody else does meanwhile.
      if h.unique ~= '' and tonumber(call('ZSCORE', UNTIL, h.unique) or 0) <= now then
        call('HSET', UNIQUE, h.unique, id)
        call('ZADD', UNTIL, now + h.ttl, h.unique)
      end
    end
    h.place = stamp()
    enter(id, h, 'a')
    say('r', 'a', h.attempt, id)
  elseif ENDED[h.state] then
    return false
  elseif action == 'cancel' then
    leave(id, h)
    enter(id, h, 'x')
    say('k', 'x', h.attempt, id)
  else
    discard(id, h, REJECTED)
    say('d', 'd', h.attempt, id, REJECTED)
  end
  return true
end
