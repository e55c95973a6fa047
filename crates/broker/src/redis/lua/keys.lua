-- Prelude: unique keys of new jobs.

-- Tries to take a unique key for the new job `id`. Answers nothing if it has it now. Otherwise it answers who holds it,
-- behind a letter: `u` the holder answers for the new job, `t` the new one is rejected, `r` the holder has the new content.
local function key_taken(id, spec, digest, ttl, conflict)
  local holder, till = call('HGET', UNIQUE, digest), tonumber(call('ZSCORE', UNTIL, digest) or 0)
  if holder and till > now then
    if conflict == 'reject' then return 't' .. holder end
    if conflict == 'return' then return 'u' .. holder end
    -- The holder may be a job of this very call.
    flush()
    local h, old = load(holder)
    -- A holder that ended within the time of its key has done the work.
    if not h or ENDED[h.state] then return 'u' .. holder end
    if IDLE[h.state] then
      call('HSET', SPEC, holder, string.sub(old, 1, 12) .. spec)
      say('m', h.state, h.attempt, holder)
      return 'r' .. holder
    end
  end
  call('HSET', UNIQUE, digest, id)
  call('ZADD', UNTIL, now + ttl, digest)
end
