-- Prelude of finish.lua: the ends of attempts.

local waiting, soonest, ended = false, nil, {}
-- Ends an attempt whose lease is held.
local function settle(id, h, state, number, json)
  local due, reason = nil, nil
  ended[id] = true
  if state == 'y' or state == 'd' then h.failed = h.failed + 1 end
  later('ZREM', LEASES, id)
  if json ~= '' then
    if state == 'c' then later('HSET', RESULTS, id, json) else remember(id, h, json) end
  end
  -- Somebody asked it to stop: it does not run again, whatever its handler made of it.
  if h.cancel == 1 and (state == 'y' or state == 's' or state == 'a') then state = 'x' end
  local failed = state == 'y' or state == 'd' and (number == EXHAUSTED or number == TIMED_OUT)
  if failed then judge_attempt(id, false) else judge_attempt(id, state == 'c' or nil) end
  if state == 'y' or state == 's' then
    due = now + number
    soonest = math.min(soonest or due, due)
  elseif state == 'd' then
    reason, h.reason = number, number
  end
  enter(id, h, state, due)
  waiting = waiting or state == 'a'
  say('f', state, h.attempt, id, reason)
end

-- The same for many that completed without a result, most of all jobs, without taking their heads apart: only state and
-- time change in them. They stand in ARGV from `first` on.
local ends, heads, leases, n = {}, {}, {}, 0
local function settle_plain(first, count, tokens, status)
  if count == 0 then return end
  local time, firsts = pack('>I6', now), {}
  -- One instant for all: among themselves they are ordered by their ids.
  local at = exact('%.0f', stamp())
  for i, raw in ipairs(call('HMGET', HEAD, unpack(ARGV, first, first + count - 1))) do
    local id = ARGV[first + i - 1]
    status[i] = 'l'
    if raw and #raw > 54 and cut(raw, 19, 24) == cut(tokens, 6 * i - 5, 6 * i) then
      if byte(raw, 1) ~= 114 or ended[id] then
        -- Ended by this very attempt.
        status[i] = 'h'
      elseif byte(raw, 4) == 0 and byte(raw, 5) == 0 then
        status[i], ended[id] = 'h', true
        n = n + 1
        leases[n] = id
        ends[2 * n - 1], ends[2 * n] = at, id
        heads[2 * n - 1], heads[2 * n] = id, 'c' .. cut(raw, 2, 6) .. time .. cut(raw, 13)
        local a, b, c, d = byte(raw, 43, 46)
        if d == 1 and a + b + c == 0 then
          firsts[#firsts + 1] = id
        else
          say('f', 'c', ((a * 256 + b) * 256 + c) * 256 + d, id)
        end
      else
        status[i] = 'h'
        settle(id, parse(raw), 'c', 0, '')
      end
    end
  end
  say_alike('f', 'c', 1, firsts)
  send('ZREM', LEASES, leases)
  send('ZADD', COMPLETED, ends)
  send('HSET', HEAD, heads)
  judge_completed(leases)
end
