-- Prelude of enqueue.lua: options and unique keys of new jobs.

local function read_options(text)
  local priority, due, expires, unique, ttl, conflict, max_wait, hold, tenant, key =
    string.match(text, '^(%d) (%S+) (%d+) (%S+) (%d+) (%a+)(%d*) (%d) (%S+) (%S+)$')
  local wait = string.match(due, '^%+(%d+)$')
  return { priority = tonumber(priority), at = wait and now + tonumber(wait) or tonumber(due) or now,
    expires = tonumber(expires), unique = unique == '-' and '' or unique, ttl = tonumber(ttl), conflict = conflict,
    max_wait = tonumber(max_wait), hold = tonumber(hold), tenant = cut(tenant, 2), key = cut(key, 2) }
end
-- Whether a job with these options is as good as one without.
local function is_plain(o)
  return o.at <= now and o.priority == 5 and o.expires == 0 and o.unique == '' and o.tenant == '' and o.key == ''
end

local function take_key(id, o)
  call('HSET', UNIQUE, o.unique, id)
  call('ZADD', UNTIL, now + o.ttl, o.unique)
end
-- A scheduled holder that never ran is put off, at most to the longest wait from when it was enqueued on.
local function put_off(holder, h, old, o)
  if not o.max_wait or h.state ~= 's' or h.attempt > 0 then return end
  local due, before = math.min(o.at, unpack_bytes('>I6', old) + o.max_wait), call('ZSCORE', SCHEDULED, holder)
  call('ZADD', SCHEDULED, due, holder)
  -- The key is not free before the job has had its time, counted from when it is due.
  call('ZADD', UNTIL, 'GT', due + o.ttl, o.unique)
  -- Who asks for less than others did may bring it forward.
  if due < tonumber(before or 0) then wake() end
end
-- It expires when the new content would, or never.
local function expire_as(holder, h, o)
  if h.expires == o.expires then return end
  h.expires = o.expires
  if o.expires > 0 then call('ZADD', EXPIRING, o.expires, holder) else call('ZREM', EXPIRING, holder) end
  call('HSET', HEAD, holder, format(h))
end
-- The new content takes the place of the old one.
local function replace(holder, h, old, spec, o)
  call('HSET', SPEC, holder, cut(old, 1, 12) .. spec)
  expire_as(holder, h, o)
  put_off(holder, h, old, o)
  local other = h.tenant ~= o.tenant or h.key ~= o.key
  -- What held it back may not be about the new content.
  if other or h.held ~= '' then
    local state, score = h.state, nil
    if state ~= 'a' then score = call('ZSCORE', SET[state], holder) end
    leave(holder, h)
    deeper(h, -1)
    -- What it holds of an ordered key is not its any more.
    if other then free(holder, h, h.state, true) end
    local since = h.since
    h.state, h.tenant, h.key = '', o.tenant, o.key
    flush()
    enter(holder, h, state, score)
    h.since = since
    later('HSET', HEAD, holder, format(h))
  end
  say('m', h.state, h.attempt, holder)
end
-- Who holds the unique key of a new job; nothing if it is free. Behind a letter: `u` the holder answers for the new job,
-- `t` the new one is rejected, `r` the holder has the new content.
local function key_holder(id, spec, o)
  local holder, till = call('HGET', UNIQUE, o.unique), tonumber(call('ZSCORE', UNTIL, o.unique) or 0)
  if not holder or till <= now then return nil end
  if o.conflict == 'reject' then return 't' .. holder end
  if o.conflict == 'return' then return 'u' .. holder end
  -- The holder may be a job of this very call.
  flush()
  local h, old = load(holder)
  -- A holder that ended within the time of its key has done the work.
  if not h or ENDED[h.state] then return 'u' .. holder end
  if not IDLE[h.state] then return nil end
  replace(holder, h, old, spec, o)
  return 'r' .. holder
end
