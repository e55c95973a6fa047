-- Prelude of finish.lua: the short way of attempts that completed without a result, most of all.

local plain, status, completed, unsettled = tonumber(ARGV[4]), {}, {}, {}
-- Ends them without taking their heads apart: only state and time change in them. What needs more is left in `unsettled`,
-- as position and head.
local function end_plain()
  if plain == 0 then return end
  local tokens, ends, heads, firsts, seen = ARGV[5], {}, {}, {}, {}
  -- One instant for all: among themselves they are ordered by their ids.
  local time, at = pack('>I6', now), exact('%.0f', stamp())
  for i, raw in ipairs(call('HMGET', HEAD, unpack(ARGV, 6, 5 + plain))) do
    local id = ARGV[5 + i]
    status[i] = 'l'
    if raw and #raw > 54 and cut(raw, 19, 24) == cut(tokens, 6 * i - 5, 6 * i) then
      -- Also if this very attempt was ended before.
      status[i] = 'h'
      if byte(raw, 1) == 114 and not seen[id] then
        seen[id] = true
        if byte(raw, 4) == 0 and byte(raw, 5) == 0 then
          local n = #completed + 1
          completed[n] = id
          ends[2 * n - 1], ends[2 * n] = at, id
          heads[2 * n - 1], heads[2 * n] = id, 'c' .. cut(raw, 2, 6) .. time .. cut(raw, 13)
          local a, b, c, d = byte(raw, 43, 46)
          if d == 1 and a + b + c == 0 then
            firsts[#firsts + 1] = id
          else
            say('f', 'c', ((a * 256 + b) * 256 + c) * 256 + d, id)
          end
        else
          unsettled[#unsettled + 1] = { id, raw }
        end
      end
    end
  end
  say_alike('f', 'c', 1, firsts)
  send('ZREM', LEASES, completed)
  send('ZADD', COMPLETED, ends)
  send('HSET', HEAD, heads)
end
end_plain()
if #ARGV == 5 + plain and #unsettled == 0 and unruled() then
  done(ARGV[3])
  return table.concat(status)
end
