-- What an operator does to one job.
--
-- KEYS     the queue's; 27: the job's log
-- ARGV     3: `cancel`, `retry`, `discard` or `delete`; 4: id; if it is done only to what was read, 5 to 7: its spec, head and
--          score as facts.lua answers them
-- returns  `ok`; `missing`; `changed`; `illegal` and the state; or, for the cancel of a running job, `asked`, worker, token
local action, id = ARGV[3], ARGV[4]
local h = load(id)
if not h then return { 'missing' } end
if h.damaged and action ~= 'delete' then return { 'illegal', 'd' } end
local function is_as_read()
  if (call('HGET', SPEC, id) or '') ~= ARGV[5] or (call('HGET', HEAD, id) or '') ~= ARGV[6] then return false end
  return h.state ~= 's' and h.state ~= 'y' or call('ZSCORE', SET[h.state], id) == ARGV[7]
end
if ARGV[5] and not is_as_read() then return { 'changed' } end
if action == 'cancel' and h.state == 'r' then
  -- Asked again: its worker is told again, nothing else changes.
  if h.cancel == 0 then
    h.cancel = 1
    later('HSET', HEAD, id, format(h))
    say('q', 'r', h.attempt, id, nil, h.worker)
    done()
  end
  return { 'asked', h.worker, h.token }
end
if not act(action, id, h) then return { 'illegal', h.state } end
if action == 'delete' then call('UNLINK', KEYS[27]) end
done()
if action == 'retry' then wake() end
return { 'ok' }
