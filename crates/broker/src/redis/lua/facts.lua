-- Prelude: what readers see of a job.

-- Appends to `answer` per job that exists: id, spec, head, the score of its set (due time or lease deadline), result,
-- errors, progress. Changes nothing.
local TIMED = { s = true, y = true, r = true }
local function describe(answer, ids)
  if #ids == 0 then return end
  local function column(hash) return call('HMGET', hash, unpack(ids)) end
  local specs, heads, results, errors, progress = column(SPEC), column(HEAD), column(RESULTS), column(ERRORS),
    column(PROGRESS)
  local n = #answer
  for i, id in ipairs(ids) do
    local spec, head = specs[i], heads[i]
    if spec or head then
      local state = head and cut(head, 1, 1)
      answer[n + 1], answer[n + 2], answer[n + 3] = id, spec or '', head or ''
      answer[n + 4] = TIMED[state] and call('ZSCORE', SET[state], id) or ''
      answer[n + 5], answer[n + 6], answer[n + 7] = results[i] or '', errors[i] or '', progress[i] or ''
      n = n + 7
    end
  end
end
