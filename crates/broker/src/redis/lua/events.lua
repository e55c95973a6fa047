-- Prelude of every script that writes: events, wake-ups, and the end of a script.

-- One event per change: kind, state after it, attempt, reason if any, id, worker if it is not the caller. Jobs to which
-- the same happens one after another share a line, their ids with commas between. One stream entry per script, numbered
-- by its last event, so that the stream is trimmed by events and a reader sees gaps.
local said, lines, alike = 0, {}, {}
local last_kind, last_state, last_attempt
local function say_alike(kind, state, attempt, ids)
  if #ids == 0 then return end
  said = said + #ids
  lines[#lines + 1] = kind .. state .. attempt .. ' ' .. table.concat(ids, ',')
end
local function end_line()
  local ids = alike
  if #ids == 0 then return end
  alike = {}
  lines[#lines + 1] = last_kind .. last_state .. last_attempt .. ' ' .. table.concat(ids, ',')
end
local function say(kind, state, attempt, id, reason, worker)
  said = said + 1
  if reason or worker then
    end_line()
    lines[#lines + 1] = kind .. state .. attempt .. (reason and '/' .. reason or '') .. ' ' .. id
      .. (worker and ' ' .. worker or '')
    return
  end
  if kind ~= last_kind or state ~= last_state or attempt ~= last_attempt then
    end_line()
    last_kind, last_state, last_attempt = kind, state, attempt
  end
  alike[#alike + 1] = id
end

-- Lets one waiting worker look. It leaves another mark if it does not take everything.
local function wake()
  if call('EXISTS', WAKE) == 0 then call('LPUSH', WAKE, 1) end
end

-- Ends a script that wrote: everything collected, the ticks used, the events.
local function done(worker)
  flush()
  for _, ending in ipairs(endings) do ending() end
  flush()
  if tick then change('tick', tick) end
  local last = said > 0 and tonumber(known(2) or 0) + said
  if last then change('seq', last) end
  if #changed > 0 then call('HSET', META, unpack(changed)) end
  if said == 0 then return end
  end_line()
  call('XADD', EVENTS, 'MINID', '~', may_go(last), exact('%.0f-0', last), 'n', said, 't', now,
    'w', worker or '', 'e', table.concat(lines, '\n'))
end
