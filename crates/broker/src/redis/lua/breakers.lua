-- Prelude: circuit breakers. BREAKERS has per subject failures in a row, until when it is open (0: closed) and the job
-- that was let through last as a probe.

local function breaker(subject)
  local failed, till, probe = string.match(call('HGET', BREAKERS, subject) or '0 0 ', '^(%d+) (%d+) ?(.*)$')
  return tonumber(failed), tonumber(till), probe
end
-- What comes of a subject's breaker when an attempt of job `id` ended: well, badly, or, for nothing, in no way that says
-- anything.
local function judge(subject, id, well)
  local r = rule(subject)
  if not r.failures then return end
  local failed, till, probe = breaker(subject)
  -- Attempts that began before it opened say nothing new.
  if till > 0 and probe ~= id then return end
  if well == nil then
    -- The next probe may go.
    if till > 0 then freed[subject] = 0 end
    return
  elseif well then
    if call('HDEL', BREAKERS, subject) == 1 and till > 0 then
      freed[subject] = 0
      wake()
    end
    return
  end
  failed = failed + 1
  if till > 0 or failed >= r.failures then
    till = now + r.cooldown
    freed[subject] = till
  end
  call('HSET', BREAKERS, subject, exact('%.0f %.0f ', failed, till))
end
local function judge_attempt(id, well)
  if ruled('q') then judge('q', id, well) end
  if ruled('k') then
    local spec = call('HGET', SPEC, id)
    if spec then judge('k:' .. kind_of(spec), id, well) end
  end
end
-- The same for many that completed; nothing to do while no breaker has seen a failure.
local function judge_completed(ids)
  if not ruled('k') and not ruled('q') or call('HLEN', BREAKERS) == 0 then return end
  for _, id in ipairs(ids) do judge_attempt(id, true) end
end
